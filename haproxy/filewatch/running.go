package filewatch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"smartstack/haproxy/master"
	"smartstack/internal/atomicfile"
)

// running is the copy that HAProxy runs with.
type running struct {
	path   string
	text   []byte // what is in it
	states states
}

// errNoListener says that a file is right, but gives HAProxy nothing to do.
var errNoListener = errors.New("no listener")

// BuiltIn is what HAProxy runs with while there is no file: it listens on a
// unix socket in dir, where nobody calls.
func BuiltIn(dir string) []byte {
	return []byte("defaults\n\tmode http\n\ttimeout connect 5s\n\ttimeout client 30s\n\ttimeout server 30s\n" + idleFrontend(dir))
}

func idleFrontend(dir string) string {
	return "\nfrontend smartstack-idle\n\tmode http\n\ttimeout client 30s\n\tbind unix@" + filepath.Join(dir, "idle.sock") + " mode 600\n"
}

// begin puts the built-in file in place.
func (r *running) begin() error {
	if err := os.MkdirAll(filepath.Dir(r.path), 0o755); err != nil {
		return fmt.Errorf("directory of HAProxy's copy: %w (with a read-only root, mount a tmpfs there)", err)
	}
	return r.write(BuiltIn(filepath.Dir(r.path)))
}

func (r *running) write(text []byte) error {
	s, dir, err := r.stage(text)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := s.Commit(); err != nil {
		return err
	}
	r.text = text
	return nil
}

func (r *running) stage(text []byte) (*atomicfile.Staged, *os.Root, error) {
	dir, err := os.OpenRoot(filepath.Dir(r.path))
	if err != nil {
		return nil, nil, fmt.Errorf("directory of HAProxy's copy: %w", err)
	}
	// Not synced: the copy is made anew at every start.
	s, err := atomicfile.Stage(dir, filepath.Base(r.path), text, 0o600, atomicfile.Options{NoSync: true})
	if err != nil {
		return nil, nil, errors.Join(err, dir.Close())
	}
	return s, dir, nil
}

// load checks text, puts it in place and lets HAProxy load it. After an error
// the copy is as it was.
func (r *running) load(ctx context.Context, text []byte, o Options) error {
	text, err := r.checked(ctx, r.states.offered(text), o)
	if err != nil {
		return err
	}
	before := r.text
	if o.Preflight != nil {
		if err := o.Preflight(text, before); err != nil {
			return unfit(err)
		}
	}
	if err := r.write(text); err != nil {
		return err
	}
	err = r.states.over(ctx, text, o.Reload)
	if err == nil || ctx.Err() != nil {
		return err
	}
	return r.undo(ctx, before, unfit(err), o)
}

// undo puts the text of before back after a load that failed with err, and says
// so where there is more to say.
func (r *running) undo(ctx context.Context, before []byte, err error, o Options) error {
	if undo := r.write(before); undo != nil {
		return errors.Join(err, fmt.Errorf("the copy of before cannot be put back, so that HAProxy would not start again: %w", undo))
	}
	if !errors.Is(err, master.ErrEnded) {
		return err
	}
	// Whoever starts it meanwhile may still have met the bad one.
	if again := o.Reload(ctx); again != nil {
		return fmt.Errorf("%w: and it cannot be started with the file of before: %w", err, again)
	}
	return fmt.Errorf("%w: it was started again with the file of before", err)
}

// unfit says that HAProxy cannot run with a file that it has no fault to find in.
func unfit(err error) error {
	return fmt.Errorf("passes the check, but HAProxy cannot run with it: %w%s", err, hint(err))
}

// checked returns text as HAProxy accepts it: one that gives HAProxy nothing to
// listen on gets something, since that is right when there is no service.
func (r *running) checked(ctx context.Context, text []byte, o Options) ([]byte, error) {
	err := r.check(ctx, text, o)
	if !errors.Is(err, errNoListener) {
		return text, err
	}
	text = append(bytes.TrimRight(bytes.Clone(text), "\n"), "\n"+idleFrontend(filepath.Dir(r.path))...)
	return text, r.check(ctx, text, o)
}

func (r *running) check(ctx context.Context, text []byte, o Options) error {
	s, dir, err := r.stage(text)
	if err != nil {
		return err
	}
	defer dir.Close()
	err = o.Check(ctx, s.Path())
	return errors.Join(err, s.Discard())
}

// hint says what usually helps.
func hint(err error) string {
	text := strings.ToLower(err.Error())
	switch {
	case strings.Contains(text, "permission denied"):
		return " (ports below 1024 need the capability NET_BIND_SERVICE, which only root is given: --cap-add NET_BIND_SERVICE and --user 0, or the sysctl net.ipv4.ip_unprivileged_port_start=0)"
	case strings.Contains(text, "cannot assign requested address"):
		return " (this host does not have the address)"
	case strings.Contains(text, "address already in use"):
		return " (another program has the port: stop it, or give the service another port)"
	default:
		return ""
	}
}
