package store

import (
	"cmp"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"certstate"
)

// A file that is uploaded is kept in pieces until a server has read it: servers
// share nothing but the database. What a person sends may hold a private key that
// the register refuses, so pieces are encrypted, each job's with a key of its own,
// which goes when the job ends, however it ends: before the pieces, which are
// removed some at a time. What is left of them in free pages, logs and archives of
// the database cannot be read then without the key, which was once in a row beside
// them; nothing of the file was ever written as it is.

// PieceSize bounds a piece, in octets.
const PieceSize = 1 << 20

// UploadLimits bound how many octets of files wait to be read: of a tenant, and of all
// of them. A server that is one of several may exceed them by a piece. 0:
// DefaultUploadLimits'.
type UploadLimits struct{ Tenant, Total int64 }

// DefaultUploadLimits are the limits there are if nothing else is said.
var DefaultUploadLimits = UploadLimits{2 << 30, 8 << 30}

// Receive keeps the next piece of a job's file: the octets from at on, of size in
// all. It returns how many octets are there now; with the last of them the job is
// ready to be worked on. It fails with Unsatisfiable if other octets are expected, or
// another size, or none at all.
func (s *Store) Receive(ctx context.Context, t Tenant, j *Job, at, size int64, data []byte) (octets int64, err error) {
	if err := s.roomFor(ctx, t, size-at); err != nil {
		return j.Octets, err
	}
	sealed, err := j.seal(at, data)
	if err != nil {
		return j.Octets, err
	}
	octets = at + int64(len(data))
	status := JobWaits
	if octets == size {
		status = JobReady
	}
	const receive = "UPDATE job SET octets = $4, size = $5, status = $6 WHERE part = $1 AND tenant = $2 AND id = $3 AND status = 'waits' AND octets = $7 AND (size = $5 OR size = -1) AND until > $8"
	err = s.doIn(ctx, t, func(tx *tx) error {
		n, err := tx.exec(receive, t.part(), t.no, j.ID, octets, size, string(status), at, tx.now.Ticks)
		if err == nil && n == 0 {
			err = errNotExpected
		}
		if err == nil && len(data) > 0 {
			_, err = tx.exec("INSERT INTO piece (part, tenant, job, at, data) VALUES ($1, $2, $3, $4, $5)", t.part(), t.no, j.ID, at, sealed)
		}
		return err
	})
	if err != nil {
		return j.Octets, err
	}
	j.Octets, j.Size, j.Status = octets, size, status
	return octets, nil
}

var errNotExpected = certstate.Errorf(certstate.Unsatisfiable, "Content-Range", "Another part of the file is expected, or none any more: nextExpectedRanges says which.")

// roomFor fails if so many octets are more than may wait.
func (s *Store) roomFor(ctx context.Context, t Tenant, more int64) error {
	var tenant, total int64
	err := s.read.QueryRowContext(ctx, s.d.rebind("SELECT CAST(coalesce(sum(octets), 0) AS bigint) FROM job WHERE length(key) > 0 AND part = $1 AND tenant = $2"), t.part(), t.no).Scan(&tenant)
	if err == nil {
		err = s.read.QueryRowContext(ctx, "SELECT CAST(coalesce(sum(octets), 0) AS bigint) FROM job WHERE length(key) > 0 -- of every tenant").Scan(&total)
	}
	limits := UploadLimits{cmp.Or(s.uploads.Tenant, DefaultUploadLimits.Tenant), cmp.Or(s.uploads.Total, DefaultUploadLimits.Total)}
	switch {
	case err != nil:
		return fmt.Errorf("sum up uploads: %w", err)
	case more > limits.Tenant:
		return certstate.Errorf(certstate.TooLarge, "Content-Range", "The file is larger than %d bytes: send it in several, or have certstate import read it where it is.", limits.Tenant)
	case tenant+more > limits.Tenant:
		return certstate.Errorf(certstate.Full, "", "The tenant's uploads hold %d bytes, and may hold %d: wait until jobs are done, or delete some.", tenant, limits.Tenant)
	case total+more > limits.Total:
		return certstate.Errorf(certstate.Unavailable, "", "There is no room for more uploads at the moment. Try again later.")
	}
	return nil
}

func (j *Job) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(j.key)
	if err != nil {
		return nil, errNotExpected // the key is gone: the file was read
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func (j *Job) bound(at int64) []byte { return binary.BigEndian.AppendUint64([]byte(j.ID), uint64(at)) }

func (j *Job) seal(at int64, data []byte) ([]byte, error) {
	aead, err := j.aead()
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, data, j.bound(at)), nil
}

// open is the reverse of seal.
func (j *Job) open(at int64, sealed []byte) ([]byte, error) {
	aead, err := j.aead()
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, nil, sealed, j.bound(at))
}

// secretAt is the place of a job's secret among the pieces of its file.
const secretAt = -1

// keepSecret keeps a job's secret as a piece, so that it is never written as it is and
// cannot be read once the job has ended.
func (tx *tx) keepSecret(t Tenant, j *Job) error {
	if j.Secret == "" {
		return nil
	}
	sealed, err := j.seal(secretAt, []byte(j.Secret))
	if err == nil {
		_, err = tx.exec("INSERT INTO piece (part, tenant, job, at, data) VALUES ($1, $2, $3, $4, $5)", t.part(), t.no, j.ID, secretAt, sealed)
	}
	if err != nil {
		return fmt.Errorf("keep a job's secret: %w", err)
	}
	return nil
}

// JobSecret is what a job that is worked on was given to keep, or nothing. It fails with
// ErrUnreachable for a reason that may pass.
func (s *Store) JobSecret(ctx context.Context, w *Work) (string, error) {
	const find = "SELECT data FROM piece WHERE part = $1 AND tenant = $2 AND job = $3 AND at = $4"
	var sealed []byte
	err := s.read.QueryRowContext(ctx, s.d.rebind(find), w.Tenant.part(), w.Tenant.no, w.Job.ID, secretAt).Scan(&sealed)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	secret, err := w.Job.open(secretAt, sealed)
	if err != nil {
		return "", fmt.Errorf("the secret of job %s: %w", w.Job.ID, err)
	}
	return string(secret), nil
}

// ErrUnreachable is the error of an upload that could not be read for a reason that
// may pass.
var ErrUnreachable = errors.New("the file cannot be read at the moment")

// upload reads a job's file out of its pieces.
type upload struct {
	ctx context.Context
	s   *Store
	t   Tenant
	j   *Job

	at   int64 // where the last piece begins
	data []byte
}

// Upload reads the file of a job that is worked on, as an [io.ReaderAt] for one
// goroutine.
func (s *Store) Upload(ctx context.Context, w *Work) io.ReaderAt {
	return &upload{ctx: ctx, s: s, t: w.Tenant, j: w.Job}
}

func (u *upload) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		if off >= u.j.Size {
			return n, io.EOF
		}
		if off < u.at || off >= u.at+int64(len(u.data)) {
			if err := u.piece(off); err != nil {
				return n, err
			}
		}
		took := copy(p[n:], u.data[off-u.at:])
		n, off = n+took, off+int64(took)
	}
	return n, nil
}

// piece reads the piece that an octet is in.
func (u *upload) piece(off int64) error {
	const find = "SELECT at, data FROM piece WHERE part = $1 AND tenant = $2 AND job = $3 AND at BETWEEN 0 AND $4 ORDER BY at DESC LIMIT 1"
	var at int64
	var sealed []byte
	err := u.s.read.QueryRowContext(u.ctx, u.s.d.rebind(find), u.t.part(), u.t.no, u.j.ID, off).Scan(&at, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return noJob(u.j.ID)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	data, err := u.j.open(at, sealed)
	if errors.Is(err, errNotExpected) {
		return err
	}
	if err != nil || off >= at+int64(len(data)) {
		return fmt.Errorf("the piece of job %s at %d is damaged", u.j.ID, at)
	}
	u.at, u.data = at, data
	return nil
}
