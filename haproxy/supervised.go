package haproxy

import (
	"fmt"
	"path/filepath"
	"strings"

	"smartstack/haproxy/master"
	"smartstack/haproxy/syntax"
)

// complete fills in what follows from other options.
func (o *Options) complete() {
	if o.ConfigFilePath == "" {
		return
	}
	if o.Supervise && o.DoSocket && strings.Join(o.SocketFilePath, "") == "" {
		if o.Global == nil {
			o.SocketFilePath = []string{o.beside("stats.sock")}
		} else {
			o.SocketFilePath = statsSockets(o.Global)
		}
	}
	if o.ServerStateFile == "" && o.Global == nil && o.DoSocket && o.DoWrites {
		if path := o.beside("server-state"); syntax.IsWord(path) {
			o.ServerStateFile = path
		}
	}
}

// beside returns the path of a file in the directory that HAProxy's own files
// have beside the configuration.
func (o *Options) beside(name string) string {
	config, err := filepath.Abs(o.ConfigFilePath)
	if err != nil {
		config = o.ConfigFilePath
	}
	return filepath.Join(master.Directory(config), name)
}

// statsSockets returns the paths of the stats sockets in lines of global.
func statsSockets(global []string) []string {
	var paths []string
	for _, line := range splitLines(global) {
		if w := strings.Fields(line); len(w) > 2 && w[0] == "stats" && w[1] == "socket" && strings.HasPrefix(w[2], "/") {
			paths = append(paths, w[2])
		}
	}
	return paths[:min(1, len(paths))] // all belong to the same process
}

// superviseFaults says why the completed options cannot be run.
func (o *Options) superviseFaults() []string {
	if !o.Supervise || o.ConfigFilePath == "" {
		return nil
	}
	var list []string
	if _, err := o.Master().Complete(); err != nil {
		list = append(list, fmt.Sprintf("supervise: %v (option master_socket)", err))
	}
	for _, path := range o.SocketFilePath {
		if len(path) > master.MaxSocket {
			list = append(list, fmt.Sprintf("supervise: socket_file_path has %d bytes, and HAProxy takes at most %d: name a shorter one than %s", len(path), master.MaxSocket, path))
		}
		if o.Global == nil && !syntax.IsWord(path) {
			list = append(list, fmt.Sprintf("supervise: HAProxy does not take the path %q for its socket: name another with socket_file_path", path))
		}
	}
	return list
}

// Master returns how HAProxy is to be run with supervise. Env and Stdout are
// the caller's to add.
func (o *Options) Master() master.Options {
	m := master.Options{
		Path: o.HAProxyPath, Config: o.ConfigFilePath, Socket: o.MasterSocket,
		HardStopAfter: o.HardStopAfter.Duration(),
	}
	if m.Path == checkOff {
		m.Path = ""
	}
	if o.StopHAProxyOnExit {
		m.Exit = master.Graceful
	}
	return m
}
