// Manual writes the manual pages and the completions for bash and zsh of a
// program, from what its --help says and from its page of the reference:
//
//	manual -out DIR -reference docs/reference-nerve.md bin/nerve
//
// The programs carry nothing of this.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

func main() {
	out := flag.String("out", ".", "directory to write to")
	reference := flag.String("reference", "", "page of the configuration's options; empty = the program reads no such file")
	date := flag.String("date", time.Now().UTC().Format(time.DateOnly), "date on the pages")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: manual [-out DIR] [-reference FILE] PROGRAM")
		os.Exit(2)
	}
	if err := run(context.Background(), flag.Arg(0), *reference, *out, *date); err != nil {
		fmt.Fprintln(os.Stderr, "manual:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, program, reference, out, date string) error {
	h, err := ask(ctx, program)
	if err != nil {
		return err
	}
	files := map[string]string{
		h.program + ".1":    page1(h, date),
		h.program + ".bash": bash(h),
		"_" + h.program:     zsh(h),
	}
	if reference != "" {
		text, err := os.ReadFile(reference)
		if err != nil {
			return err
		}
		if files[h.program+".json.5"], err = page5(h.program, string(text), date); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for name, text := range files {
		err = errors.Join(err, os.WriteFile(filepath.Join(out, name), []byte(text), 0o644))
	}
	return err
}

// ask runs the program for its help, and that of its commands.
func ask(ctx context.Context, program string) (*help, error) {
	name := filepath.Base(program)
	text, err := output(ctx, program, "--help")
	if err != nil {
		return nil, err
	}
	h, err := parseHelp(name, text)
	if err != nil {
		return nil, err
	}
	for i, c := range h.commands {
		text, err := output(ctx, program, c.name, "--help")
		if err != nil {
			return nil, err
		}
		if err := h.commands[i].explain(name, text); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func output(ctx context.Context, program string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, program, args...).Output()
	if err != nil {
		return "", fmt.Errorf("%s %v: %w", program, args, err)
	}
	return string(out), nil
}
