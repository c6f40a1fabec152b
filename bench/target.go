package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"certstate/auth/authtest"
	"certstate/odata"
)

// target is a running server and how it is asked.
type target struct {
	name     string
	addr     string
	database string
	path     string   // of the collection, which takes creates and holds records
	list     string   // of its first page
	paths    []string // to the questions
	header   string   // lines that every request carries
	// next is where the page after one begins, nil after the last.
	next func(page []byte) []byte

	cmd   *exec.Cmd
	log   string // file of what it says
	ended chan error
}

// audience is the server's in the bench's tokens.
const audience = "api://bench"

// startIssuer runs an issuer of tokens in this process.
func startIssuer() (*authtest.Issuer, func(), error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	is := &authtest.Issuer{URL: "http://" + l.Addr().String()}
	is.Publish("key-1", authtest.RSAKey.Public(), nil)
	srv := &http.Server{Handler: is, ReadHeaderTimeout: 5 * time.Second}
	go srv.Serve(l) // ends with Close
	return is, func() { _ = srv.Close() }, nil
}

// startServer starts certstate as an operator would, with its defaults.
func startServer(ctx context.Context, dir, program string, set *dataset, is *authtest.Issuer, more ...string) (*target, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	base := "http://" + addr
	path := "/beta/" + odata.CanonicalPath
	t := &target{
		name: "certstate", addr: addr, database: set.server, path: path, list: path + "?$top=100",
		header: authorization(is, authtest.Tenant),
		next:   between(`"@odata.nextLink":"`+base, `"`, ""),
	}
	args := []string{"serve", "--database", "sqlite:" + set.server, "--listen", addr, "--base-url", base, "--issuer", is.Template(), "--audience", audience}
	return t, t.start(ctx, dir, set, program, append(args, more...)...)
}

// authorization is the header line every request carries. The floor is sent it
// too, and does not look at it: what reading it from the wire costs is
// net/http's, not the server's.
func authorization(is *authtest.Issuer, tenant string) string {
	return "Authorization: Bearer " + is.Token(map[string]any{"aud": audience, "tid": tenant, "iss": is.URL + "/" + tenant + "/v2.0"}) + "\r\n"
}

// startFloor starts this program again as the floor.
func startFloor(ctx context.Context, dir string, set *dataset, is *authtest.Issuer) (*target, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	t := &target{
		name: "floor", addr: addr, database: set.floor, path: "/states", list: "/states?top=100",
		header: authorization(is, authtest.Tenant), next: between(`],"next":`, `}`, "/states?top=100&after="),
	}
	for i := range questions {
		t.paths = append(t.paths, "/questions/"+strconv.Itoa(i))
	}
	return t, t.start(ctx, dir, set, self, floorArg, set.floor, addr)
}

// between finds the text between the last before and the after that follows.
func between(before, after, prefix string) func([]byte) []byte {
	return func(page []byte) []byte {
		i := bytes.LastIndex(page, []byte(before))
		if i < 0 {
			return nil
		}
		text, _, _ := bytes.Cut(page[i+len(before):], []byte(after))
		return append([]byte(prefix), text...)
	}
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// start runs the program and returns once it answers.
func (t *target) start(ctx context.Context, dir string, set *dataset, program string, args ...string) error {
	t.header = "Host: " + t.addr + "\r\nAccept: application/json\r\n" + t.header
	t.log = filepath.Join(dir, t.name+".log")
	out, err := os.Create(t.log)
	if err != nil {
		return err
	}
	defer out.Close() // the child has its own
	t.cmd = exec.CommandContext(ctx, program, args...)
	t.cmd.Stdout, t.cmd.Stderr = out, out
	t.cmd.Cancel = func() error { return t.cmd.Process.Signal(syscall.SIGTERM) }
	t.cmd.WaitDelay = 10 * time.Second
	if err := set.apart.start(t.cmd.Start); err != nil {
		return err
	}
	t.ended = make(chan error, 1)
	go func() { t.ended <- t.cmd.Wait() }()
	give := time.After(20 * time.Second)
	for {
		if err = t.ping(set.ids[0]); err == nil {
			return nil
		}
		select {
		case end := <-t.ended:
			t.ended <- end
			return errors.Join(fmt.Errorf("%s ended at its start: %w", t.name, end), t.lastWords())
		case <-give:
			t.stop()
			return errors.Join(fmt.Errorf("%s does not answer: %w", t.name, err), t.lastWords())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// ping reads one record.
func (t *target) ping(id string) error {
	c, err := dial(t, []string{id}, 5*time.Second)
	if err != nil {
		return err
	}
	defer c.conn.Close() // it has its answer
	_, err = c.do(c.get(), http.StatusOK)
	return err
}

// stop ends the process and waits for it.
func (t *target) stop() {
	_ = t.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-t.ended:
	case <-time.After(30 * time.Second):
		_ = t.cmd.Process.Kill()
		<-t.ended
	}
}

// lastWords is the end of what the server said, as an error.
func (t *target) lastWords() error {
	text, err := os.ReadFile(t.log)
	if err != nil || len(text) == 0 {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return fmt.Errorf("%s said last: %s", t.name, strings.Join(lines[max(0, len(lines)-3):], "\n"))
}

// cpu is the processor time the server has used, 0 where there is no /proc
// (proc_pid_stat(5): utime and stime, in hundredths of a second).
func (t *target) cpu() time.Duration {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", t.cmd.Process.Pid))
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // from field 3 on
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// memory is the server's resident memory in MiB, all of it and the part that
// is not the mapped database file (proc_pid_status(5)).
func (t *target) memory() (all, own int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", t.cmd.Process.Pid))
	for line := range strings.Lines(string(text)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			all = kib >> 10
		}
		if n, _ := fmt.Sscanf(line, "RssAnon: %d kB", &kib); n == 1 {
			own = kib >> 10
		}
	}
	return all, own
}
