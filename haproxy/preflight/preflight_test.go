package preflight

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// everything may be done by this process, nothing by that of nobody.
var (
	everything = Process{Capabilities: ^uint64(0)}
	nothing    = Process{UID: 65532, GID: 65532}
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"frontend a\n bind :80\n":                                                   "0.0.0.0:80",
		"frontend a\nbind *:80,[::1]:81 ssl crt /x # :82\n":                         "0.0.0.0:80 [::1]:81",
		"listen a\n\tbind :::80 v4v6\n bind ::1:81\n":                               "[::]:80v4v6 [::1]:81",
		"frontend a\n bind 10.0.0.1:80-82\n":                                        "10.0.0.1:80 10.0.0.1:81 10.0.0.1:82",
		"frontend a\n bind ipv4@:80\n bind tcp6@:81 v6only\n":                       "0.0.0.0:80 [::]:81v6only",
		"frontend a\n bind /run/x.sock\n bind abns@x\n bind fd@4\n":                 "",
		"frontend a\n bind unix@/run/x:1\n bind quic4@:443\n":                       "",
		"frontend a\n bind :${PORT}\n bind \":80\"\n bind example.org:80\n":         "",
		"frontend a\n bind :80 interface eth0\n bind :81 transparent\n":             "",
		"frontend a\n bind :0\n bind :65536\n bind :9-8\n bind :\n bind x\n bind\n": "",
		"peers p\n bind 127.0.0.1:1024\n":                                           "127.0.0.1:1024",
		"#frontend a\n# bind :80\n":                                                 "",
	} {
		f, ok := parse([]byte(text), lookupLocalhost)
		var got []string
		for _, b := range f.binds {
			got = append(got, b.may[0].address.String()+b.may[0].dual)
		}
		if s := strings.Join(got, " "); s != want || !ok {
			t.Errorf("%q: got %q, %v, want %q", text, s, ok, want)
		}
	}
	if _, ok := parse([]byte("frontend a\n.if defined(X)\n bind :80\n.endif\n"), lookupLocalhost); ok {
		t.Error("lines with a condition are taken for certain")
	}
	f, _ := parse([]byte("global\n user a\nuserlist u\n user b\nglobal\n noreuseport\n"), lookupLocalhost)
	if !f.alone || fmt.Sprint(f.global) != "[{2 [user a]} {6 [noreuseport]}]" {
		t.Errorf("%+v", f)
	}
}

func TestPorts(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	taken := fmt.Sprintf("frontend a\n bind %s\n", other.Addr())
	for name, tt := range map[string]struct{ text, running, want string }{
		"taken":             {taken, "", fmt.Sprintf("[line 2] bind %s: address already in use", other.Addr())},
		"HAProxy's own":     {taken, "global\n" + taken, ""},
		"cannot be tried":   {"global\n noreuseport\n" + taken, "", ""},
		"no such address":   {"frontend a\n bind 192.0.2.1:8080\n", "", "[line 2] bind 192.0.2.1:8080: cannot assign requested address"},
		"a second one":      {taken + " bind 192.0.2.1:8080\n", "", "in use; [line 3] bind 192.0.2.1"},
		"more than is said": {"frontend a\n bind 192.0.2.1:8001-8008\n", "", "and 3 more"},
	} {
		err := Check([]byte(tt.text), []byte(tt.running), everything)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}

// A name is taken when all its addresses are: which one HAProxy binds is not
// known.
func TestLocalhostIsTaken(t *testing.T) {
	first, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	port := uint16(first.Addr().(*net.TCPAddr).Port)
	for _, a := range lookupLocalhost() {
		if l, err := net.Listen("tcp", netip.AddrPortFrom(a, port).String()); err == nil {
			defer l.Close()
		}
	}
	text := fmt.Sprintf("frontend a\n bind localhost:%d\n", port)
	want := fmt.Sprintf("[line 2] bind localhost:%d: ", port)
	if err := Check([]byte(text), nil, everything); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	if err := Check([]byte(text), []byte(text), everything); err != nil {
		t.Errorf("HAProxy's own: %v", err)
	}
}

// TestPortsAreShared: a port that is only tried stays free, and what listens
// there as HAProxy does, to share it, is no hindrance.
func TestPortsAreShared(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 1); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	port := name.(*unix.SockaddrInet4).Port
	text := []byte(fmt.Sprintf("frontend a\n bind 127.0.0.1:%d\n", port))
	for range 2 {
		if err := Check(text, nil, nothing); err != nil {
			t.Fatal(err)
		}
	}
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestAccounts(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	gains := Process{UID: 65532, GID: 65532, Gains: true}
	for name, tt := range map[string]struct {
		line    string
		process Process
		want    string
	}{
		"chroot":                    {"chroot " + dir, everything, ""},
		"chroot without":            {"chroot " + dir, nothing, "[line 2] chroot " + dir + ": HAProxy needs the capability SYS_CHROOT"},
		"chroot of a strong file":   {"chroot " + dir, gains, ""},
		"chroot to nowhere":         {"chroot " + dir + "/none", everything, "no such file"},
		"chroot to a file":          {"chroot " + file, everything, "not a directory"},
		"chroot in quotes":          {`chroot "` + dir + `"`, nothing, ""},
		"user":                      {"user root", nothing, ""}, // HAProxy takes 0 for none
		"another user":              {"uid 65533", nothing, "SETUID"},
		"another user, as root":     {"uid 65533", everything, ""},
		"its own user":              {"uid 65532", nothing, ""},
		"another group":             {"gid 65533", nothing, "SETGID"},
		"its own group":             {"gid 65532", nothing, ""},
		"a group of its name":       {"group daemon", nothing, "group daemon: HAProxy needs the capability SETGID"},
		"a user of its name":        {"user daemon", nothing, "user daemon: HAProxy needs the capability SETUID"},
		"a user who is not there":   {"user no-such-user", nothing, ""},
		"something else altogether": {"maxconn 10", nothing, ""},
	} {
		err := Check([]byte("global\n "+tt.line+"\n"), nil, tt.process)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}

func TestInherited(t *testing.T) {
	const status = "Name:\tx\nCapPrm:\t0000000000000f00\nCapBnd:\t00000000000000ff\nCapAmb:\t0000000000000400\nNoNewPrivs:\t%d\n"
	for _, tt := range []struct {
		uid, alone int
		want       uint64
	}{{0, 0, 0xff}, {0, 1, 0}, {1000, 0, 0x400}, {1000, 1, 0x400}} {
		if got := inherited(fmt.Sprintf(status, tt.alone), tt.uid); got != tt.want {
			t.Errorf("%+v: got %x", tt, got)
		}
	}
	if p := Self("/no/such/program"); !p.Gains || p.UID != os.Geteuid() {
		t.Errorf("%+v", p)
	}
	if p := Self("/bin/sh"); p.Gains {
		t.Errorf("%+v", p)
	}
}

// The name of most bind lines is looked up once for all of them, and not at all
// where there is none.
func TestLocalhostIsLookedUpOnce(t *testing.T) {
	lookups := 0
	find := func() []netip.Addr {
		lookups++
		return nil
	}
	if faults([]byte("frontend a\n bind 127.0.0.1:80\n"), nil, everything, find); lookups != 0 {
		t.Errorf("%d look-ups for no name", lookups)
	}
	text := []byte("frontend a\n" + strings.Repeat(" bind localhost:80\n", 1000))
	if faults(text, text, everything, find); lookups != 1 {
		t.Errorf("%d look-ups", lookups)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("global\n chroot /x\nfrontend a\n bind :80-90,[::]:81 v4v6\n.if x\n")
	f.Fuzz(func(t *testing.T, text string) {
		parsed, _ := parse([]byte(text), lookupLocalhost)
		for _, b := range parsed.binds {
			if p := b.may[0].address.Port(); p == 0 {
				t.Errorf("%q: port 0", text)
			}
		}
	})
}
