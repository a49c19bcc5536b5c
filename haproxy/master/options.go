package master

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"smartstack/internal/atomicfile"
)

// Exit says what becomes of HAProxy when Run ends.
type Exit int

const (
	// Leave lets HAProxy go on serving; the next Run adopts it.
	Leave Exit = iota
	// Graceful lets open connections come to their end, until StopLimit.
	Graceful
	// Terminate ends HAProxy at once.
	Terminate
)

// Options says what to run. The zero value of everything but Config is usable.
type Options struct {
	Path          string        // the HAProxy program; empty = the installed one, see Program
	Config        string        // its file; HAProxy is started when it is there
	Dir           string        // of the pid file, the lock and the log; empty = Directory(Config)
	Socket        string        // path of the master socket; empty = master.sock in Dir
	ExtraArgs     []string      // further arguments
	Env           []string      // HAProxy's environment, as in os.Environ
	Stdout        *os.File      // where `log stdout` goes, inherited; nil = the log in Dir
	Exit          Exit          // what becomes of HAProxy when Run ends
	StopLimit     time.Duration // how long Graceful may take; 0 = 8 s
	HardStopAfter time.Duration // workers that have been leaving for longer are ended; 0 = never
}

const defaultStopLimit = 8 * time.Second

// MaxSocket is how long a path HAProxy binds a socket to, in bytes. It is less
// than the system's 107, because HAProxy binds under a longer name first.
const MaxSocket = 97

// Directory returns where what belongs to the HAProxy that runs with config is
// kept. It is a directory of its own, because the one above it is tidied.
func Directory(config string) string {
	return filepath.Join(filepath.Dir(config), atomicfile.DefaultStage, "haproxy")
}

// Complete returns o with its defaults, or what is wrong with it.
func (o Options) Complete() (Options, error) {
	if o.Config == "" {
		return o, errors.New("no HAProxy configuration file is named")
	}
	config, err := filepath.Abs(o.Config)
	if err != nil {
		return o, err
	}
	o.Config = config
	if o.Dir == "" {
		o.Dir = Directory(config)
	}
	if o.Socket == "" {
		o.Socket = filepath.Join(o.Dir, "master.sock")
	}
	if o.StopLimit <= 0 {
		o.StopLimit = defaultStopLimit
	}
	if len(o.Socket) > MaxSocket {
		return o, fmt.Errorf("the master socket's path has %d bytes, and HAProxy takes at most %d: name a shorter one than %s", len(o.Socket), MaxSocket, o.Socket)
	}
	if strings.ContainsAny(o.Socket, ", \t") {
		return o, fmt.Errorf("HAProxy takes no comma or space in the master socket's path %q", o.Socket)
	}
	return o, nil
}

// Program returns the HAProxy program: path if it is one, else the one in the
// PATH of env or in a directory that PATHs of daemons leave out; empty = there
// is none.
func Program(path string, env []string) string {
	if path != "" {
		return path
	}
	dirs := []string{"/usr/local/sbin", "/usr/sbin"}
	for _, v := range env {
		if list, ok := strings.CutPrefix(v, "PATH="); ok {
			dirs = append(filepath.SplitList(list), dirs...)
		}
	}
	for _, dir := range dirs {
		file := filepath.Join(dir, "haproxy")
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 && filepath.IsAbs(file) {
			return file
		}
	}
	return ""
}

// argv is the command line; argv[0] is the program.
func (o *Options) argv(program string) []string {
	return append([]string{program, "-W", "-db", "-f", o.Config, "-S", o.Socket + ",level,admin,mode,600"}, o.ExtraArgs...)
}

// environment is what HAProxy gets: without the variables by which a master
// tells its later self what it runs, which are there when HAProxy has started
// us.
func (o *Options) environment() []string {
	env := []string{} // never nil: that would stand for our own environment
	for _, v := range o.Env {
		if !strings.HasPrefix(v, "HAPROXY_MWORKER_") && !strings.HasPrefix(v, "HAPROXY_PROCESSES=") {
			env = append(env, v)
		}
	}
	return env
}
