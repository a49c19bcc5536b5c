//go:build docker

package e2e

import (
	"archive/tar"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"smartstack/test/servers"
)

// This file is containers that start and stop, with a real engine and the real
// HAProxy: make test-docker.

// engineSocket is where Debian's package puts it.
const engineSocket = "/var/run/docker.sock"

// page serves its first argument on port 8080. A stop signal gives it the time
// that its callers need to see it go.
const page = `package main

import (
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)
	go func() {
		<-told
		time.Sleep(3 * time.Second)
		os.Exit(0)
	}()
	fmt.Println(http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, os.Args[1])
	})))
}
`

// boxes makes containers of one image on the default bridge.
type boxes struct {
	*testing.T
	prefix, image string
}

// newBoxes makes the image, which is one static program.
func newBoxes(t *testing.T) boxes {
	t.Helper()
	prefix := fmt.Sprintf("smartstack-e2e-%d", os.Getpid())
	b := boxes{t, prefix, "localhost:5000/" + prefix + "/page"}
	dir := t.TempDir()
	source, program, archive := filepath.Join(dir, "main.go"), filepath.Join(dir, "page"), filepath.Join(dir, "image.tar")
	if err := os.WriteFile(source, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	pack(t, archive, program)
	id := docker(t, "import", archive, b.image+":1")
	t.Cleanup(func() { docker(t, "rmi", "-f", id) })
	return b
}

// pack writes an archive that holds one program.
func pack(t *testing.T, archive, program string) {
	t.Helper()
	data, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := tar.NewWriter(f)
	if err := w.WriteHeader(&tar.Header{Name: filepath.Base(program), Mode: 0o755, Size: int64(len(data))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// start starts a container, and removes it at the end.
func (b boxes) start(name string, args ...string) {
	b.Helper()
	full := b.prefix + "-" + name
	argv := append([]string{"run", "-d", "--name", full}, args...)
	docker(b.T, append(argv, b.image+":1", "/page", name)...)
	b.Cleanup(func() { docker(b.T, "rm", "-f", full) })
}

// do is a command about one container.
func (b boxes) do(command, name string, args ...string) {
	b.Helper()
	docker(b.T, append(append([]string{command}, args...), b.prefix+"-"+name)...)
}

// Containers start and stop. synapse reads the engine itself, and sees both by
// its events, as its interval is an hour.
func TestDockerStartAndStop(t *testing.T) {
	b, loopback := newBoxes(t), []string{"-p", "127.0.0.1::8080"}
	one, two := b.prefix+"-one", b.prefix+"-two"
	s := newStage(t, registry{watcher: object{
		"method": "docker", "servers": []string{"unix://" + engineSocket}, "image_name": b.image, "container_port": 8080, "check_interval": 3600,
	}})
	b.start("one", loopback...)
	s.startSynapse()
	s.awaitServing(one)
	sent, stop := s.traffic()
	defer stop()
	s.more(sent, 100)
	b.start("two", loopback...)
	s.awaitServing(one, two)
	s.more(sent, 100)
	b.do("stop", "one", "-t", "30")
	s.awaitServing(two)
	s.more(sent, 100)
	b.do("start", "one") // with another port
	s.awaitServing(one, two)
	b.do("rm", "two", "-f")
	s.awaitServing(one)
	s.more(sent, 100)
}

// nerve registers labelled containers of the engine in a registry, and synapse
// reads that: a container is served while it runs and its check passes.
func TestContainersOfNerve(t *testing.T) {
	b := newBoxes(t)
	dir := filepath.Join(t.TempDir(), "registry")
	s := newStage(t, registry{watcher: object{"method": "file", "path": filepath.Join(dir, "web")}})
	s.writeJSON("nerve.json", object{
		"instance_id": "host", "docker": object{
			"server": "unix://" + engineSocket, "label_prefix": b.prefix, "registrator": false, "check_interval": 3600,
			"defaults": object{
				"host": "127.0.0.1", "reporter_type": "file", "path": filepath.Join(dir, "${service}"), "check_interval": 0.1,
				"checks": []object{{"type": "http", "uri": "/", "timeout": 5, "rise": 1, "fall": 1}},
			},
		},
	})
	nerve := servers.Program(t, "nerve", filepath.Join(bin, "nerve"), "-c", s.path("nerve.json"), "--log-format", "text")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("nerve:\n%s", nerve.Log())
		}
	})
	offer := func(name string) { // nerve refuses a port that only this host can call
		t.Helper()
		b.start(name, "-p", "8080", "--label", b.prefix+".service=web", "--label", b.prefix+".name="+name)
	}
	offer("one")
	b.start("other", "-p", "8080") // without the label
	s.startSynapse()
	s.awaitServing("one")
	sent, stop := s.traffic()
	s.more(sent, 100)
	offer("two")
	s.awaitServing("one", "two")
	s.more(sent, 100)
	b.do("stop", "one", "-t", "30")
	s.awaitServing("two")
	s.more(sent, 100)
	stop()
	b.do("kill", "two") // nothing is left
	servers.Eventually(t, func() error {
		entries, err := os.ReadDir(filepath.Join(dir, "web"))
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") {
				return fmt.Errorf("%s is still registered", e.Name())
			}
		}
		return err
	})
	b.do("start", "two")
	s.awaitServing("two")
}
