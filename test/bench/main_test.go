package bench

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

var (
	write = flag.String("write", "", "document whose tables are renewed with what was measured")

	bin = flag.String("bin", "", "directory of the programs, built already; as an old release to compare with")

	notes   = &notebook{}
	started []*exec.Cmd // the processes of healthy
	release = sync.OnceValues(buildRelease)
)

func TestMain(m *testing.M) {
	if n, err := strconv.Atoi(os.Getenv("BENCH_SERVE")); err == nil {
		serveHealth(n)
		return
	}
	flag.Parse()
	code := m.Run()
	if *bin == "" && len(notes.figures) > 0 {
		if dir, err := release(); err == nil {
			_ = os.RemoveAll(dir)
		}
	}
	notes.print(os.Stdout)
	if *write != "" && code == 0 {
		if err := notes.renew(*write); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// program returns the path of a program, built as it is released.
func program(b *testing.B, name string) string {
	b.Helper()
	if *bin != "" {
		return filepath.Join(*bin, name)
	}
	dir, err := release()
	if err != nil {
		b.Fatal(err)
	}
	return filepath.Join(dir, name)
}

func buildRelease() (string, error) {
	dir, err := os.MkdirTemp("", "smartstack-bench")
	if err != nil {
		return "", err
	}
	for name, tags := range map[string]string{"nerve": "grpcnotrace", "haproxy-watcher": "grpcnotrace", "synapse": "grpcnotrace,nethttpomithttp2"} {
		cmd := exec.Command("go", "build", "-trimpath", "-gcflags", "github.com/aws/...=-l", "-gcflags", "go.uber.org/...=-l", "-gcflags", "gopkg.in/...=-l", "-tags", tags, "-ldflags", "-s -w", "-o", dir+"/", "smartstack/cmd/"+name)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return dir, errors.Join(fmt.Errorf("building %s: %w\n%s", name, err, out), os.RemoveAll(dir))
		}
	}
	return dir, nil
}

// serveHealth is the server that nerve checks and that HAProxy sends requests
// to: n ports, and every answer is 200. It runs in a process of its own, so its
// CPU is nobody else's.
func serveHealth(n int) {
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "OK\n") })
	var ports []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		ports = append(ports, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
		go func() { _ = http.Serve(l, answer) }()
	}
	fmt.Println(strings.Join(ports, " "))
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent is gone
	os.Exit(0)
}

// healthy starts serveHealth and returns its ports.
func healthy(b *testing.B, n int) []int {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "BENCH_SERVE="+strconv.Itoa(n))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	started = append(started, cmd)
	b.Cleanup(func() { stdin.Close(); _ = cmd.Wait() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	var ports []int
	for text := range strings.FieldsSeq(line) {
		port, err := strconv.Atoi(text)
		if err != nil {
			b.Fatal(err)
		}
		ports = append(ports, port)
	}
	return ports
}
