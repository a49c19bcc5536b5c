package config

import (
	"os"
	"path/filepath"
	"strings"
)

// Services returns the top-level `services` of root, in file order, together
// with the files of its `service_conf_dir`: each *.json or *.yaml in it is one
// service named by its base name and replaces one of the same name in the file.
// As in the originals the directory is relative to the working directory.
func Services(root *Node, r *Report, o ReadOptions) Map[*Node] {
	r.hear(root)
	var all struct {
		Services Map[*Node] `cfg:"services"`
		Dir      string     `cfg:"service_conf_dir"`
		Rest     *Node      `cfg:",rest"`
	}
	root.Decode(&all, r)
	if all.Dir == "" {
		return all.Services
	}
	entries, err := os.ReadDir(all.Dir)
	if err != nil {
		r.Fault(root.Get("service_conf_dir"), "cannot read %s: %v", all.Dir, cannotRead(err))
		return all.Services
	}
	s := &services{list: all.Services, rank: map[string]int{}, file: map[string]string{}}
	for i, e := range s.list {
		s.rank[e.Key] = i
	}
	for _, e := range entries { // sorted by name
		s.take(filepath.Join(all.Dir, e.Name()), r, o)
	}
	return s.list
}

// services collects the services of one configuration.
type services struct {
	list Map[*Node]
	rank map[string]int    // name → index in list
	file map[string]string // name → the file of service_conf_dir it is from
}

func (s *services) take(path string, r *Report, o ReadOptions) {
	base := filepath.Base(path)
	ext := filepath.Ext(base)
	if hidden := strings.HasPrefix(base, "."); hidden || ext != ".json" && ext != ".yaml" {
		// What else lies there is nobody's business unless it looks like a service.
		if strings.Contains(base, ".json") || strings.Contains(base, ".yaml") || ext == ".yml" && !hidden {
			r.warn(Fault{File: path, Msg: "not read: the name of a service's file ends in .json or .yaml"})
		}
		return
	}
	name := strings.TrimSuffix(base, ext)
	if first, again := s.file[name]; again {
		// The originals read .yaml before .json, and the later one stays.
		r.warn(Fault{File: path, Msg: "not read: " + first + " defines the same service"})
		return
	}
	s.file[name] = path
	n := readService(path, name, r, o)
	if n == nil {
		return
	}
	if i, ok := s.rank[name]; ok {
		r.Warn(s.list[i].Node, "not used: %s defines the same service", path)
		s.list[i].Value, s.list[i].Node = n, n
		return
	}
	s.rank[name] = len(s.list)
	s.list = append(s.list, Entry[*Node]{Key: name, Value: n, Node: n})
}

// readService returns nil after a fault.
func readService(path, name string, r *Report, o ReadOptions) *Node {
	data, err := readBounded(path)
	if err != nil {
		r.add(Fault{File: path, Msg: err.Error()})
		return nil
	}
	n, err := parseSource(&source{name: path, prefix: joinPath("services", name)}, data, o)
	if err != nil {
		r.Add(err)
		return nil
	}
	r.hear(n)
	return n
}
