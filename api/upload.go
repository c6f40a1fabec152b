package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"certstate"
	"certstate/odata"
	"certstate/store"
)

// A file is uploaded in ranges, each by a PUT with Content-Range, one after another.
// What arrived of a range is there, also if the connection was cut in it. Who sends
// again what is there already is told so, and harms nothing.

const (
	contentRange = "Content-Range"
	// maxRange bounds a range, in bytes, as Graph's upload sessions do.
	maxRange = 60 << 20
	// uploadPatience is how long a client may take to send a piece.
	uploadPatience = time.Minute
)

// sessionView is the upload of a job as it is told.
type sessionView struct {
	job *store.Job
	url string // "": nobody is told
}

// sessionMembers are those of Graph's uploadSession.
var sessionMembers = []member[sessionView]{
	told("expirationDateTime", nullable(timeType), "Until when the job waits for its file, or is told of.", func(v *sessionView) any { return timeText(v.job.Until) }),
	told("nextExpectedRanges", textsType, "What is expected next: FROM-; nothing once the file is there.", func(v *sessionView) any { return expected(v.job) }),
	told("uploadUrl", nullable(textType), "Where the file goes, for who has the URL.", func(v *sessionView) any { return textOrNull(v.url) }),
}

func expected(j *store.Job) []string {
	if j.Status != store.JobWaits {
		return []string{}
	}
	return []string{fmt.Sprintf("%d-", j.Octets)}
}

func (x *exchange) uploadURL(j *store.Job) string {
	return x.signedURL(odata.ImportJobs, importUpload, odata.UploadToken, j.ID)
}

// session answers with how far an upload is, to who has its URL.
func (x *exchange) session(status int, j *store.Job) error {
	return x.jobAs(status, x.root()+"/$metadata#"+graphNamespace+".uploadSession", bodyOf(x, sessionMembers, &sessionView{j, x.uploadURL(j)}))
}

func (x *exchange) uploadSession() error {
	j, err := x.signedJob(store.Import)
	if err != nil {
		return err
	}
	return x.session(http.StatusOK, j)
}

// upload takes a range, and answers with what is expected next, or with the job once
// all is there.
func (x *exchange) upload() error {
	x.leave() // clients take their time
	if err := x.alone(); err != nil {
		return err
	}
	r, err := x.parseRange()
	if err != nil {
		return err
	}
	if !x.s.uploads.take(x.tenant.ID) {
		return store.ErrShed
	}
	defer x.s.uploads.give(x.tenant.ID)
	j, err := x.signedJob(store.Import)
	if err == nil {
		err = x.receiveRange(j, r)
	}
	if err != nil {
		return err
	}
	_ = http.NewResponseController(x.w).SetWriteDeadline(time.Now().Add(uploadPatience)) // an answer in memory has none
	if j.Status == store.JobWaits {
		return x.session(http.StatusAccepted, j)
	}
	body, err := x.imported(j)
	if err != nil {
		return err
	}
	x.w.Header().Set("Location", x.root()+"/"+odata.JobPath(odata.ImportJobs, j.ID))
	return x.job(http.StatusCreated, importContext, body)
}

// byteRange is a part of a file.
type byteRange struct{ first, last, size int64 }

// parseRange reads Content-Range: bytes FIRST-LAST/SIZE (RFC 9110 §14.4).
func (x *exchange) parseRange() (r byteRange, err error) {
	if enc := x.r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return r, certstate.Errorf(certstate.Unsupported, "Content-Encoding", "A range is of the file as it is: send it without Content-Encoding.")
	}
	text := x.r.Header.Get(contentRange)
	span, size, ok := strings.Cut(strings.TrimPrefix(text, "bytes "), "/")
	first, last, ok2 := strings.Cut(span, "-")
	numbers := []*int64{&r.first, &r.last, &r.size}
	for i, digits := range []string{first, last, size} {
		n, err := strconv.ParseUint(digits, 10, 62)
		ok = ok && err == nil
		*numbers[i] = int64(n)
	}
	length := r.last - r.first + 1
	switch {
	case !ok || !ok2 || !strings.HasPrefix(text, "bytes "):
		return r, certstate.Errorf(certstate.Invalid, contentRange, "Give the header Content-Range: bytes FIRST-LAST/SIZE, such as bytes 0-1048575/5000000.")
	case length <= 0 || r.last >= r.size:
		return r, certstate.Errorf(certstate.Invalid, contentRange, "The range '%s' is no part of a file of its size.", text)
	case length > maxRange:
		return r, certstate.Errorf(certstate.TooLarge, contentRange, "A range has at most %d bytes: send the file in several.", maxRange)
	case x.r.ContentLength >= 0 && x.r.ContentLength != length:
		return r, certstate.Errorf(certstate.Invalid, contentRange, "The range '%s' has %d bytes, and the body %d.", text, length, x.r.ContentLength)
	}
	return r, nil
}

// receiveRange keeps what is new of a range, piece by piece.
func (x *exchange) receiveRange(j *store.Job, r byteRange) error {
	there := j.Octets
	switch {
	case j.Size >= 0 && j.Size != r.size:
		return certstate.Errorf(certstate.Unsatisfiable, contentRange, "The file has %d bytes by an earlier range, and %d by this one.", j.Size, r.size)
	case r.first > there || j.Status != store.JobWaits && r.last >= there:
		return certstate.Errorf(certstate.Unsatisfiable, contentRange, "The range begins at %d, and %d is expected: GET the uploadUrl says which range is next.", r.first, there)
	}
	if err := x.readFor(nil, min(there-r.first, r.last-r.first+1)); err != nil {
		return err
	}
	piece := make([]byte, min(store.PieceSize, max(0, r.last+1-there)))
	for at := there; at <= r.last; at = j.Octets {
		part := piece[:min(int64(len(piece)), r.last+1-at)]
		if err := x.readFor(part, 0); err != nil {
			return err
		}
		if _, err := x.s.cfg.Store.Receive(x.r.Context(), x.tenant, j, at, r.size, part); err != nil {
			return err
		}
	}
	return nil
}

// readFor passes over some bytes of the body and fills b, in the time a client may take.
func (x *exchange) readFor(b []byte, over int64) error {
	if len(b) == 0 && over == 0 {
		return nil
	}
	_ = http.NewResponseController(x.w).SetReadDeadline(time.Now().Add(uploadPatience))
	_, err := io.CopyN(io.Discard, x.r.Body, over)
	if err == nil {
		_, err = io.ReadFull(x.r.Body, b)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return certstate.Errorf(certstate.Invalid, contentRange, "The body ended before the range did: GET the uploadUrl says which range is next.")
	}
	return badBody(err)
}
