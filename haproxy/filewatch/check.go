package filewatch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	checkLimit = 30 * time.Second
	// checkWait is how long the check's pipes may stay open after its end.
	checkWait = time.Second
	shown     = 1500 // bytes of HAProxy's words in a message
)

// HAProxyCheck returns a check by `haproxy -c`.
func HAProxyCheck(program string, env []string) func(ctx context.Context, path string) error {
	return func(ctx context.Context, path string) error {
		ctx, cancel := context.WithTimeout(ctx, checkLimit)
		defer cancel()
		cmd := exec.CommandContext(ctx, program, "-c", "-f", path)
		cmd.Env = append([]string{}, env...) // never nil: that would stand for our own environment
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.WaitDelay = checkWait
		out, err := cmd.CombinedOutput()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s -c gave no answer: %w", program, context.Cause(ctx))
		}
		if bytes.Contains(out, []byte("no listener")) && !bytes.Contains(out, []byte("Fatal errors found")) {
			return errNoListener
		}
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			return fmt.Errorf("it cannot be checked: %w", err)
		}
		return fmt.Errorf("HAProxy refuses it: %s", alerts(string(out), path))
	}
}

// alerts picks from HAProxy's words those that say why, in one line, and with
// the place in the file as people know it.
func alerts(out, path string) string {
	var list []string
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "[ALERT]") {
			_, text, _ := strings.Cut(line, " : ")
			list = append(list, strings.TrimPrefix(strings.TrimSpace(text), "config : "))
		}
	}
	sum := func(text string) bool {
		return strings.HasPrefix(text, "Error(s) found in") || strings.HasPrefix(text, "Fatal errors found in")
	}
	if some := slices.DeleteFunc(slices.Clone(list), sum); len(some) > 0 {
		list = some
	}
	text := strings.Join(list, "; ")
	if text == "" {
		text = strings.Join(strings.Fields(out), " ")
	}
	text = strings.ReplaceAll(text, "["+path+":", "[line ")
	if len(text) > shown {
		text = strings.ToValidUTF8(text[:shown], "") + " …"
	}
	return text
}
