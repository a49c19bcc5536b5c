package haproxy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"smartstack/test/servers"
)

// A HAProxy that comes back with an old file, in the place of ours or elsewhere,
// is noticed and mended.
func TestHAProxyComesBackWithAnOldFile(t *testing.T) {
	for name, start := range map[string]func(st *story, link, old string){
		"in the place of ours": func(st *story, _, old string) {
			if err := os.Rename(old, st.file); err != nil {
				st.t.Fatal(err)
			}
			st.haproxy.Start()
		},
		"elsewhere": func(st *story, link, old string) {
			pointTo(st.t, link, old)
			st.haproxy.Start()
			pointTo(st.t, link, st.file)
		},
	} {
		t.Run(name, func(t *testing.T) {
			st := newStory(t, 4)
			link, old := filepath.Join(st.dir, "link"), filepath.Join(st.dir, "old")
			pointTo(t, link, st.file)
			st.options.DoSocket = true
			st.open()
			st.want(0, 1)
			servers.Eventually(t, func() error {
				st.apply(st.now)
				_, err := os.Stat(st.file)
				return err
			})
			if err := os.WriteFile(old, []byte(st.read()), 0o644); err != nil {
				t.Fatal(err)
			}
			st.haproxy = servers.HAProxy(t, link, st.addr)
			st.reloadWith(fmt.Sprintf("kill -USR2 %d", st.haproxy.PID()))
			st.want(2, 3)
			st.await(2, 3)
			servers.Eventually(t, func() error {
				again, err := st.out.Apply(t.Context(), st.now)
				if s := st.out.Status(); err != nil || s.Written != st.rev || len(s.Waiting) > 0 || again > probeEvery {
					return fmt.Errorf("again %v, %+v, %w", again, s, err)
				}
				return nil
			})
			st.out.memory.lastWrite = time.Time{} // long ago

			st.haproxy.Stop()
			start(st, link, old)
			st.reloadWith(fmt.Sprintf("kill -USR2 %d", st.haproxy.PID()))
			st.await(2, 3)
			servers.Eventually(t, func() error {
				st.apply(st.now)
				if s := st.out.Status(); s.Applied != st.rev || s.Written != st.rev || len(s.Waiting)+len(s.Faults) > 0 {
					return fmt.Errorf("%+v", s)
				}
				return nil
			})
			st.wantMembers(2, 3)
		})
	}
}

// The ids of a file that HAProxy has not loaded are no reason to replace servers
// one by one: a reload makes sure, and nothing leaves rotation.
func TestHAProxyRunsWithOtherIDsThanTheFileHas(t *testing.T) {
	st := newStory(t, 2)
	st.options.DoSocket = true
	st.open()
	st.want(0, 1)
	st.awaitLoaded()
	st.close()
	link, other := filepath.Join(st.dir, "link"), filepath.Join(st.dir, "other")
	if err := os.WriteFile(other, []byte(strings.NewReplacer(" id 1 ", " id 11 ", " id 2 ", " id 12 ").Replace(st.read())), 0o644); err != nil {
		t.Fatal(err)
	}
	pointTo(t, link, other)
	st.haproxy = servers.HAProxy(t, link, st.addr)
	pointTo(t, link, st.file)
	st.log.Reset()
	st.options.ReloadCommand = fmt.Sprintf("kill -USR2 %d", st.haproxy.PID())
	st.open()
	st.want(0, 1)
	servers.Eventually(t, func() error {
		st.apply(st.now)
		if s := st.out.Status(); s.Reloads != 1 || s.Applied != st.rev || len(s.Waiting)+len(s.Faults) > 0 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	if log := st.log.String(); strings.Contains(log, "replace") || !strings.Contains(log, "in the file ") {
		t.Errorf("the log:\n%s", log)
	}
	st.wantMembers(0, 1)
}

// wantMembers fails the test when the file has other members.
func (st *story) wantMembers(numbers ...int) {
	st.t.Helper()
	var list []string
	for _, i := range numbers {
		list = append(list, serverNames(st.members[i:i+1], nil)...)
	}
	for _, s := range SplitStanzas([]byte(st.read())) {
		if s.Title != "backend web" {
			continue
		}
		has := newStanza(s.Text).servers
		for _, name := range list {
			if has[name] == "" || len(has) != len(list) {
				st.t.Errorf("the file has %v, want %v", has, list)
			}
		}
	}
}

func pointTo(t *testing.T, link, to string) {
	t.Helper()
	if err := os.RemoveAll(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(to, link); err != nil {
		t.Fatal(err)
	}
}
