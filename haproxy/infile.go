package haproxy

import (
	"io"
	"os"
	"slices"
	"strings"

	"smartstack/internal/config"
)

// InFile is what the configuration file that is in place says, as far as it
// can be compared with what is wanted.
type InFile struct {
	// Servers are the server lines of each backend, by name, without the space
	// in front.
	Servers   map[string]map[string]string
	inherited []string
}

// maxFile bounds what ReadFile reads.
const maxFile = 256 << 20

// ReadFile reads the configuration file that is in place now.
func (out *Output) ReadFile() (*InFile, error) {
	f, err := os.Open(out.options.ConfigFilePath)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, err
	}
	return &InFile{Servers: serversOf(string(text)), inherited: inheritedLines(text)}, nil
}

func serversOf(text string) map[string]map[string]string {
	all := map[string]map[string]string{}
	var here map[string]string
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || line[0] == '#' {
			continue
		}
		switch {
		case line[0] != ' ' && line[0] != '\t':
			here = nil
			if (words[0] == "backend" || words[0] == "listen") && len(words) > 1 {
				here = map[string]string{}
				all[words[1]] = here
			}
		case words[0] == "server" && len(words) > 2 && here != nil:
			here[words[1]] = strings.TrimSpace(line)
		}
	}
	return all
}

// Weigher tells which weight a server of the section is to have; ok is false
// when an agent sets it.
func (f *InFile) Weigher(s *Section) func(*Server) (weight int, ok bool) {
	view := viewBackend(f.inherited, s.Backend)
	return func(v *Server) (int, bool) {
		if v.Weight.Known {
			return int(v.Weight.Value), true
		}
		return view.weight, !hasWord(v.Options, "agent-check")
	}
}

// Extra tells whether a section of extra_sections has that name: its servers
// are nobody's but the administrator's.
func (out *Output) Extra(name string) bool {
	return slices.ContainsFunc(out.options.ExtraSections, func(section config.Entry[[]string]) bool {
		words := strings.Fields(section.Key)
		return len(words) > 1 && words[1] == name
	})
}
