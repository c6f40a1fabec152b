package ingest_test

import (
	"crypto/sha256"
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"sync"
	"testing"

	"certstate/certificate"
	"certstate/ingest"
)

var corpora = flag.Bool("corpora", false, "read certificates nobody here made, and ask OpenSSL and GnuTLS about each")

// The corpora: folders of this machine, and Go modules for what is in their test
// data. Every file is read, whatever it is.
var (
	corpusFolders = []struct{ folder, origin string }{
		{"", "Go's crypto"}, // the toolchain's own
		{"/usr/share/ca-certificates", "Debian ca-certificates"},
		{"/usr/lib/python3/dist-packages/cryptography_vectors", "Debian python3-cryptography-vectors"},
		{"/usr/lib/python3.11/test", "Debian libpython3.11-testsuite"},
	}
	corpusModules = []string{
		"github.com/zmap/zlint/v3@v3.7.3",
		"github.com/zmap/zcrypto@v0.0.0-20260725024403-2c658ce3c66f",
		"github.com/google/certificate-transparency-go@v1.4.0",
		"github.com/smallstep/pkcs7@v0.2.3",
		"github.com/smallstep/certificates@v0.30.2",
		"go.step.sm/crypto@v0.92.0",
		"software.sslmate.com/src/go-pkcs12@v0.7.4",
	}
	corpusPasswords = []string{"", "password", "cryptography", "a", "1234", "changeit", "secret"}
)

// sample is a certificate of a corpus.
type sample struct {
	origin string // corpus, file and place
	path   string // where its DER is
	facts  *certificate.Facts
}

// TestCorpora reads what others have collected, and holds every fact to what
// OpenSSL and GnuTLS say. What differs must be in the table of differences.
func TestCorpora(t *testing.T) {
	if !*corpora {
		t.Skip("slow: make test-corpora")
	}
	for _, program := range []string{"openssl", "certtool"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is not installed")
		}
	}
	samples := collect(t)
	if len(samples) < 500 {
		t.Fatalf("only %d certificates", len(samples))
	}
	names := objectNames(t)
	report := &report{counts: map[string]int{}}
	work := make(chan sample)
	var wait sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for s := range work {
				report.compare(t, s, "OpenSSL", forOpenSSL(s.facts), askOpenSSL(t, s.path, names))
				report.compare(t, s, "GnuTLS", forGnuTLS(s.facts), askGnuTLS(t, s.path))
			}
		})
	}
	for _, s := range samples {
		work <- s
	}
	close(work)
	wait.Wait()
	report.log(t, len(samples))
}

// collect reads every file of every corpus and keeps one of each certificate.
func collect(t *testing.T) (samples []sample) {
	dir, seen := t.TempDir(), map[[32]byte]bool{}
	for origin, folder := range corpusPlaces(t) {
		before := len(samples)
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			for _, f := range readAny(t, path) {
				sum := sha256.Sum256(f.DER)
				if seen[sum] {
					continue
				}
				seen[sum] = true
				s := sample{origin: origin + strings.TrimPrefix(path, folder) + " (" + f.String() + ")"}
				if s.facts, err = certificate.Parse(f.DER); err != nil {
					t.Logf("refused: %s: %v", s.origin, err)
					continue
				}
				s.path = filepath.Join(dir, s.facts.ThumbprintSHA256)
				if err := os.WriteFile(s.path, s.facts.DER, 0o600); err != nil {
					return err
				}
				samples = append(samples, s)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%5d certificates from %s", len(samples)-before, origin)
	}
	return samples
}

// readAny reads a file with each password, until one opens it.
func readAny(t *testing.T, path string) (certificates []ingest.Found) {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var found []ingest.Found
	for _, password := range corpusPasswords {
		if found, err = ingest.ReadCertificates(data, password); err == nil {
			break
		}
	}
	for _, f := range found {
		if f.Err == nil {
			certificates = append(certificates, f)
		}
	}
	return certificates
}

// corpusPlaces finds the folders of the corpora that can be had here.
func corpusPlaces(t *testing.T) map[string]string {
	places := map[string]string{}
	for _, c := range corpusFolders {
		if c.folder == "" {
			c.folder = filepath.Join(runtime.GOROOT(), "src", "crypto") //nolint:staticcheck // the tests' own toolchain
		}
		if _, err := os.Stat(c.folder); err != nil {
			t.Logf("SKIPPED: %s is not installed", c.origin)
			continue
		}
		places[c.origin] = c.folder
	}
	for _, module := range corpusModules {
		cmd := exec.Command("go", "mod", "download", "-json", module)
		cmd.Dir = t.TempDir() // no module's own go.mod has a say
		out, _ := cmd.Output()
		var m struct{ Dir, Error string }
		if err := json.Unmarshal(out, &m); err != nil || m.Dir == "" {
			t.Logf("SKIPPED: %s cannot be had: %s", module, m.Error)
			continue
		}
		places[module] = m.Dir
	}
	return places
}

// answers are what one program says of a certificate, field by field, in a form
// that two can share. A field it does not print is absent.
type answers map[string]string

type report struct {
	sync.Mutex
	compared int
	counts   map[string]int
	open     int
}

// compare holds ours to theirs. Each difference must be one that is known.
func (r *report) compare(t *testing.T, s sample, program string, ours, theirs answers) {
	r.Lock()
	defer r.Unlock()
	if theirs == nil {
		r.counts[program+" cannot read the certificate"]++
		t.Logf("%s cannot read %s; oddities %q", program, s.origin, s.facts.Oddities)
		return
	}
	for field, want := range theirs {
		got := ours[field]
		r.compared++
		if got == want {
			continue
		}
		if why := explain(program, field, s.facts, got, want); why != "" {
			r.counts[program+" "+field+": "+why]++
			continue
		}
		r.open++
		if r.counts[program+" "+field+" not explained"]++; r.counts[program+" "+field+" not explained"] <= 12 {
			t.Errorf("%s: %s\n%s: %q\nours: %q\noddities %q", s.origin, field, program, want, got, s.facts.Oddities)
		}
	}
}

func (r *report) log(t *testing.T, samples int) {
	lines := make([]string, 0, len(r.counts))
	for line := range r.counts {
		lines = append(lines, line)
	}
	sort.Strings(lines)
	for _, line := range lines {
		t.Logf("%5d %s", r.counts[line], line)
	}
	t.Logf("%d certificates, %d answers compared, %d differences not explained", samples, r.compared, r.open)
}
