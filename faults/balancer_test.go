package faults

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// balancer is a proxy of Debian's before the servers of a register, with the
// configuration that docs/load-balancing.md gives to operators.
type balancer struct {
	kind    *balancerKind
	dir     string
	address string
	url     string
	servers []string // their addresses
	roots   *x509.CertPool
	command *exec.Cmd
	ended   chan struct{}
}

// balancerKind is what one program does otherwise than another.
type balancerKind struct {
	name    string    // of the program, and of its text in the document
	listen  [2]string // as documented, and with %s for the address
	command func(dir, config string) []string
	reloads bool   // it has to be told of a server that will stop
	repeats string // the method of writes that it sends again, "" for none
	around  string // the rest of the configuration, with %s for the text and %[2]s for the folder
}

var balancers = []*balancerKind{
	{"haproxy", [2]string{"bind :443 ssl", "bind %s ssl"}, func(_, config string) []string { return []string{"-db", "-f", config} }, false, "", haproxyAround},
	{"nginx", [2]string{"listen 443 ssl", "listen %s ssl"}, func(dir, config string) []string { return []string{"-p", dir, "-c", config} }, true, http.MethodDelete, nginxAround},
}

const haproxyAround = `global
    stats socket unix@stats
%s`

const nginxAround = `daemon off;
worker_processes 2;
pid nginx.pid;
error_log nginx.log warn;
events { worker_connections 1024; }
http {
access_log off;
client_body_temp_path body;
proxy_temp_path proxy;
fastcgi_temp_path fastcgi;
uwsgi_temp_path uwsgi;
scgi_temp_path scgi;
%s
}
`

// documented are the servers' addresses in the document.
var documented = []string{"10.0.0.11:8080", "10.0.0.12:8080", "10.0.0.13:8080"}

// names are those of the servers there, which HAProxy speaks of.
var names = []string{"one", "two", "three"}

// serveBehind starts several servers behind a balancer.
func (r *register) serveBehind(t testing.TB, kind *balancerKind, n int, flags ...string) (*balancer, []*server) {
	t.Helper()
	address := freeAddress(t)
	var servers []*server
	var addresses []string
	for range n {
		s := r.serve(t, append([]string{"--base-url", "https://" + address}, flags...)...)
		servers, addresses = append(servers, s), append(addresses, s.address)
	}
	return balance(t, r.dir, kind, address, addresses), servers
}

// balance starts a balancer before servers.
func balance(t testing.TB, dir string, kind *balancerKind, address string, servers []string) *balancer {
	t.Helper()
	path, err := exec.LookPath(kind.name)
	if err != nil {
		if path = "/usr/sbin/" + kind.name; !exists(path) {
			t.Skipf("%s is not installed", kind.name)
		}
	}
	b := &balancer{kind: kind, dir: dir, address: address, url: "https://" + address, servers: servers}
	b.certify(t)
	if err := b.configure(""); err != nil {
		t.Fatal(err)
	}
	b.command = exec.Command(path, kind.command(b.dir, b.config())...)
	b.command.Dir = dir
	log, err := os.Create(filepath.Join(b.dir, kind.name+".out"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	b.command.Stdout, b.command.Stderr = log, log
	if b.ended, err = spawn(b.command); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = b.command.Process.Signal(syscall.SIGTERM)
		<-b.ended
	})
	b.awaitReady(t)
	return b
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (b *balancer) config() string { return filepath.Join(b.dir, b.kind.name+".conf") }

// configure writes the configuration as it is documented, but for names, and with
// one server marked down if one is named.
func (b *balancer) configure(down string) error {
	text, err := os.ReadFile("../docs/load-balancing.md")
	if err != nil {
		return err
	}
	_, after, _ := strings.Cut(string(text), "```"+b.kind.name+"\n")
	config, _, found := strings.Cut(after, "```\n")
	if !found {
		return fmt.Errorf("docs/load-balancing.md has nothing for %s", b.kind.name)
	}
	replace := func(old, with string) {
		if !strings.Contains(config, old) {
			err = fmt.Errorf("docs/load-balancing.md: %q is not in the text for %s", old, b.kind.name)
		}
		config = strings.ReplaceAll(config, old, with)
	}
	replace(b.kind.listen[0], fmt.Sprintf(b.kind.listen[1], b.address))
	replace("/etc/"+b.kind.name+"/register.", filepath.Join(b.dir, "register."))
	for i, address := range documented {
		if i < len(b.servers) {
			replace(address, b.servers[i])
			continue
		}
		lines := slices.DeleteFunc(strings.Split(config, "\n"), func(line string) bool { return strings.Contains(line, address) })
		config = strings.Join(lines, "\n")
	}
	if down != "" {
		replace(down+" max_fails", down+" down max_fails")
	}
	if err != nil {
		return err
	}
	around := b.kind.around
	if os.Getuid() == 0 && b.kind.name == "nginx" {
		around = "user root;\n" + around
	}
	return os.WriteFile(b.config(), fmt.Appendf(nil, around, config), 0o600)
}

// certify makes a certificate and its key, for a program that reads both from
// one file and one that does not.
func (b *balancer) certify(t testing.TB) {
	t.Helper()
	srv := httptest.NewUnstartedServer(nil)
	srv.StartTLS()
	srv.Close()
	key, err := x509.MarshalPKCS8PrivateKey(srv.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	b.roots = x509.NewCertPool()
	b.roots.AddCert(srv.Certificate())
	for name, text := range map[string][]byte{"register.pem": slices.Concat(public, private), "register.key": private} {
		if err := os.WriteFile(filepath.Join(b.dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// transport trusts the balancer.
func (b *balancer) transport() *http.Transport {
	tr := transport()
	tr.ForceAttemptHTTP2 = true // as SDKs do
	tr.TLSClientConfig = &tls.Config{RootCAs: b.roots}
	return tr
}

func (b *balancer) awaitReady(t testing.TB) {
	t.Helper()
	c := http.Client{Transport: b.transport()}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		res, err := c.Get(b.url + "/readyz")
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-b.ended:
			text, _ := os.ReadFile(filepath.Join(b.dir, b.kind.name+".out"))
			t.Fatalf("%s ended: %s", b.kind.name, text)
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatalf("%s is not ready", b.kind.name)
}
