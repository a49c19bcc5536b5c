package haproxy

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"smartstack/haproxy/socket"
	"smartstack/test/servers"
)

// What changes while a reload goes on is compared with what HAProxy has loaded
// when that is known again: it is not taken for done because nobody knew better.
func TestOptionsThatChangeWhileAReloadGoesOn(t *testing.T) {
	st := newStory(t, 2)
	st.options.DoSocket = true
	st.open()
	st.want(0, 1)
	servers.Eventually(t, func() error { // no HAProxy yet
		st.apply(st.now)
		if s := st.out.Status(); s.Written != st.rev || s.Reloads == 0 {
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})
	st.haproxy = servers.HAProxy(t, st.file, st.addr)
	st.open()
	release := make(chan struct{})
	st.out.deps.Reload = func(context.Context) error { <-release; return nil }
	servers.Eventually(t, func() error { // without a request, so that servers can be replaced
		st.apply(st.now)
		if s := st.out.Status(); s.Applied != st.rev || len(s.Waiting)+len(s.Faults) > 0 {
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})
	m := st.out.memory
	m.loaded, m.unknown = nil, "a test"
	servers.Eventually(t, func() error {
		st.apply(st.now)
		if m.job == nil || m.job.step != stepReload {
			return errors.New("no reload goes on")
		}
		return nil
	})
	st.members[1].Backup = true
	st.want(0, 1)
	st.apply(st.now)
	close(release)
	servers.Eventually(t, func() error {
		st.apply(st.now)
		c := socket.New(st.options.SocketFilePath[0])
		defer c.Close()
		replies, err := c.Do(t.Context(), []string{"show stat"})
		if err != nil {
			return err
		}
		stats, err := socket.ParseStat(replies[0])
		for _, s := range stats {
			if s.Backup {
				return nil
			}
		}
		return fmt.Errorf("no backup in %+v, %w", stats, err)
	})
}
