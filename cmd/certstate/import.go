package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"certstate"
	"certstate/ingest"
	"certstate/intake"
	"certstate/store"
)

// importSettings are the flags of import.
type importSettings struct {
	intake.Settings
	database, tenant, reason string
	column                   []string
	report                   string
	upnFrom, passwordFile    string
	pull                     pullSettings
	fromStepCA               string
	watch                    bool
	watchEvery               time.Duration
}

func (a *app) importRecords() *cobra.Command {
	var set importSettings
	cmd := &cobra.Command{
		Use:     "import FILE... | --from-graph URL | --from-step-ca PLACE",
		Short:   "Bring in certificates, reports and records from files, or from a Graph tenant",
		Long:    importHelp,
		Example: importExamples,
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runImport(cmd, &set, args) },
	}
	set.flags(cmd.Flags())
	return cmd
}

const importHelp = `Bring in what is there: certificates, Intune's reports, tables and records. FILE is
a file, a folder with all that is in it, a pattern in quotes, an archive (tar, zip,
gzip), or - for standard input. What a file is, its content says, or --format:

  ndjson        a line is a JSON object as the API takes it to create a record
  csv           a row is a record; the first row names the columns, as properties
                (certstate fields), as in Intune's reports AllDeviceCertificates and
                CertificatesByRAPolicy (the zip of an export job will do), or as
                --column HEADER=property says
  certificates  PEM with any number of blocks, DER, PKCS#7, PKCS#12, base64; private
                keys are refused and named, those in PKCS#12 passed over

Everything may be brought in again: what is there already is counted, not doubled.
So an import that was ended, however it was, is just run again. A record is known by
its id; without one, a certificate by itself and its device, and a row by its device
with the thumbprint, or with issuer and serial number. A row with an id that is
there and says otherwise is left out, unless --update is given; a row without an id
updates what it names. A report that does not know of a revocation does not end it.

A certificate's device is the name of its file (LAPTOP-7.pem), or as --device or
--device-from says. Certificates of authorities are passed over, unless
--authorities is given.

What cannot be brought in is left out and named with its place, the reason and the
cure, on standard error and in --report; the rest goes in. Each thousand or so is
durable at once.

With --from-graph all records of a Graph tenant, or of another register, are read
through its API, and keep their ids; of a register also what Graph does not have, the
certificates included. Waits that the service asks for are kept to, and cut connections
mended. --resume FILE keeps how far it got, so that a pull that was ended goes on there;
without it all is read again. Authority, token endpoint and scope are Entra's for
Graph; for a register give its issuer's.

With --dry-run nothing is written, and all is said that would be. Thousands at a time
are tried and undone: what occurs twice in the input may be counted twice.

With --watch it goes on until it is stopped: what comes into the folders, or changes
there, comes in once nobody has written to it between two looks. After a restart all
is looked at again.

With --from-step-ca there is no FILE: the database of a step-ca is read, whichever of
its five types it is of, with what it has revoked. Again, it takes what is new and what
was revoked since; what the step-ca has no longer stays as it is. To follow it from
then on, and have that marked, see certstate source.

Import works beside a running server. Into an empty database that no server
holds it is several times faster.

Exit codes: 0 all brought in, 1 failed, 2 wrong flags, 3 something was left out.`

const importExamples = `  certstate import --tenant $TENANT --database sqlite:/var/lib/certstate/register.db devices/
  certstate import --tenant $TENANT --device-from cn '/etc/pki/issued/*.pem' old.tar.gz
  certstate import --tenant $TENANT AllDeviceCertificates_8d9f.zip --report rejected.csv
  certstate import --tenant $TENANT --from-graph https://graph.microsoft.com --client-id $APP --client-secret-file secret --resume pull.json
  certstate import --tenant $TENANT --column Computer=managedDeviceDisplayName --column Notes= assets.csv --dry-run
  certstate import --tenant $TENANT --from-step-ca /backup/step/db
  CERTSTATE_FROM_STEP_CA='mysql://reader:PASSWORD@ca.example.com/stepca' certstate import --tenant $TENANT
  certstate import --tenant $TENANT --watch /srv/issued
  curl -s https://ca.example/roots.pem | certstate import --tenant $TENANT --device ca --authorities -`

func (set *importSettings) flags(f *pflag.FlagSet) {
	databaseFlag(f, &set.database)
	f.StringVar(&set.tenant, "tenant", "", "`GUID` of the enrolled tenant the records belong to")
	f.StringVar(&set.Format, "format", intake.Auto, "`form` of the files: "+strings.Join(intake.Formats(), ", "))
	f.StringVar(&set.reason, "reason", "", "`why`, for the records' history")
	f.StringArrayVar(&set.column, "column", nil, "`HEADER=property`: what a column of a CSV file is; HEADER= leaves it out (repeatable)")
	f.BoolVar(&set.Update, "update", false, "have records whose id is there take what the file says")
	f.BoolVar(&set.Dry, "dry-run", false, "say what would be created, updated and left out, and write nothing")
	f.IntVar(&set.Jobs, "jobs", 0, "how many `pieces` of the input are read into records at once (default: one for each processor)")
	f.StringVar(&set.report, "report", "", "`file` for what is left out, with place, reason and cure: .csv or .ndjson")
	f.StringVar(&set.Naming.Device, "device", "", "`name` of the device that all certificates are on")
	f.StringVar(&set.Naming.From, "device-from", ingest.FromFile, "`where` a certificate's device is named: file (its name), cn (the subject's common name) or san (the first DNS name)")
	f.StringVar(&set.upnFrom, "upn-from", "san", "`where` a certificate's user principal name is: san (its alternative names) or none")
	f.BoolVar(&set.Naming.Authorities, "authorities", false, "bring in the certificates of authorities too")
	f.StringVar(&set.passwordFile, "password-file", "", "`file` with the password of PKCS#12 files")
	set.pull.flags(f)
	set.otherInputFlags(f)
}

// check finds what is wrong with the flags, and reads what they name.
func (set *importSettings) check() error {
	_, faulty := store.ParseTenantID(set.tenant)
	switch {
	case set.database == "":
		return errors.New("--database is required: " + store.URLForms)
	case set.tenant == "":
		return errors.New("--tenant is required: the GUID of an enrolled tenant")
	case faulty != nil:
		return faulty
	case !slices.Contains(intake.Formats(), set.Format):
		return fmt.Errorf("--format %q is not one of: %s", set.Format, strings.Join(intake.Formats(), ", "))
	case set.Jobs < 0:
		return fmt.Errorf("--jobs %d: give a number from 1 up, or 0 for one for each processor", set.Jobs)
	case set.upnFrom != "san" && set.upnFrom != "none":
		return fmt.Errorf("--upn-from %q is not one of: san, none", set.upnFrom)
	}
	switch set.Naming.From {
	case ingest.FromFile, ingest.FromCN, ingest.FromSAN:
	default:
		return fmt.Errorf("--device-from %q is not one of: file, cn, san", set.Naming.From)
	}
	set.Naming.UPN = set.upnFrom == "san"
	set.By = certstate.Cause{Actor: "certstate import", Reason: set.reason}
	set.UpdateCure = "--update has it take what the file says"
	if set.pull.from != "" {
		set.UpdateCure = "--update has it take what the service says"
		return set.pull.check()
	}
	return errors.Join(set.readColumns(), set.readPassword())
}

func (set *importSettings) readColumns() (err error) {
	set.Columns, err = intake.ParseColumns("--column", set.column)
	return err
}

func (set *importSettings) readPassword() error {
	if set.passwordFile == "" {
		return nil
	}
	text, err := os.ReadFile(set.passwordFile)
	set.Naming.Password = strings.TrimRight(string(text), "\r\n")
	return err
}

func (a *app) runImport(cmd *cobra.Command, set *importSettings, files []string) (err error) {
	if err := set.check(); err != nil {
		return usageError{err}
	}
	if err := set.arguments(files); err != nil {
		return usageError{err}
	}
	i := importer{stdout: a.stdout, stderr: a.err, Intake: intake.Intake{Settings: set.Settings}}
	from, err := set.origin(a, cmd, files)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.close()) }()
	rejects, err := openRejects(a.err, set.report)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rejects.close()) }()
	if set.watch {
		return a.watch(cmd.Context(), set, files, rejects.add)
	}
	s, err := a.openAlone(cmd.Context(), set.database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	t, err := enrolled(cmd.Context(), s, set.tenant)
	if err != nil {
		return err
	}
	i.Store, i.Tenant, i.Rejected, i.pull = s, t, rejects.add, from.pull
	err = i.run(cmd.Context(), from.bring)
	i.total()
	if left := i.totals.Rejected; err == nil && left > 0 {
		return exitError{fmt.Errorf("%d%s were left out", left, i.noun()), exitPartly}
	}
	return err
}

// openAlone opens the database with the lock of its server, or beside the
// server that has it.
func (a *app) openAlone(ctx context.Context, url string) (*store.Store, error) {
	log := slog.New(slog.NewTextHandler(a.err, nil))
	s, err := store.Open(ctx, url, store.Options{Serve: true, Log: log})
	if errors.Is(err, store.ErrServed) {
		return store.Open(ctx, url, store.Options{Log: log})
	}
	return s, err
}
