package servers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Account is who databases run as when the test runs as root, which
// PostgreSQL refuses: nobody.
const account = 65534

// MariaDB starts a server on 127.0.0.1 and on the unix socket mariadb.sock in
// its folder, and runs the statements. extra goes to its command line.
func MariaDB(tb testing.TB, statements string, extra ...string) *Process {
	tb.Helper()
	bin := need(tb, "mariadb-server-core", "mariadbd", "/usr/sbin/mariadbd")
	dir := tb.TempDir()
	data, init := filepath.Join(dir, "data"), filepath.Join(dir, "init.sql")
	if err := os.Mkdir(data, 0o700); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(init, []byte(statements), 0o600); err != nil {
		tb.Fatal(err)
	}
	argv := []string{
		bin, "--no-defaults", "--user=root", "--datadir=" + data, "--skip-name-resolve", "--log-warnings=0",
		"--innodb-buffer-pool-size=8M", "--innodb-log-file-size=4M", "--innodb-flush-method=nosync", "--innodb-fast-shutdown=2",
	}
	// What mariadb-install-db does, which is in another, larger package.
	var tables strings.Builder
	tables.WriteString("CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\nSET @skip_auth_anonymous=1;\n")
	for _, name := range []string{"mysql_system_tables.sql", "mysql_system_tables_data.sql"} {
		text, err := os.ReadFile(filepath.Join("/usr/share/mysql", name))
		if err != nil {
			Missing(tb, "mariadb-server-core")
		}
		tables.Write(text)
	}
	pipe(tb, nil, tables.String(), append(argv, "--bootstrap")...)
	port := strconv.Itoa(FreePort(tb))
	argv = append(argv, "--bind-address=127.0.0.1", "--port="+port, "--init-file="+init,
		"--socket="+filepath.Join(dir, "mariadb.sock"), "--pid-file="+filepath.Join(dir, "pid"))
	return launch(tb, &Process{
		Addr: "127.0.0.1:" + port, Dir: dir, name: "mariadb", argv: append(argv, extra...), ready: accepts,
	})
}

// PostgreSQL starts a server on 127.0.0.1 and on a unix socket in its folder,
// runs the statements as the superuser postgres, one to a line, and lets in
// whom hba (the lines of pg_hba.conf) does. Files are copied into its folder,
// where extra, settings as name=value, can name them.
func PostgreSQL(tb testing.TB, hba, statements string, files map[string]string, extra ...string) *Process {
	tb.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		Missing(tb, "postgresql")
	}
	bin := found[len(found)-1]
	who, dir := folder(tb)
	data := filepath.Join(dir, "data")
	pipe(tb, who, "", filepath.Join(filepath.Dir(bin), "initdb"), "--pgdata="+data, "--username=postgres",
		"--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
	pipe(tb, who, statements, bin, "--single", "-D", data, "-F", "postgres")
	own(tb, who, filepath.Join(data, "pg_hba.conf"), hba)
	for name, from := range files {
		text, err := os.ReadFile(from)
		if err != nil {
			tb.Fatal(err)
		}
		own(tb, who, filepath.Join(data, name), string(text))
	}
	port := strconv.Itoa(FreePort(tb))
	argv := []string{bin, "-D", data, "-h", "127.0.0.1", "-p", port, "-k", dir, "-F"}
	for _, setting := range extra {
		argv = append(argv, "-c", setting)
	}
	return launch(tb, &Process{
		Addr: "127.0.0.1:" + port, Dir: dir, name: "postgresql", argv: argv, user: who,
		ready: func(addr string) error { return postgresServes(filepath.Join(data, "postmaster.pid"), addr) },
	})
}

// postgresServes looks at what the server says of itself: it accepts before it
// is ready.
func postgresServes(pidFile, addr string) error {
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return err
	}
	if !strings.Contains(string(text), "ready") {
		return errNotYet
	}
	return accepts(addr)
}

// folder returns a scratch folder and its owner, who is not root.
func folder(tb testing.TB) (*syscall.Credential, string) {
	tb.Helper()
	if os.Getuid() != 0 {
		return nil, tb.TempDir()
	}
	// Those of tb.TempDir stand in one that only root may enter.
	dir, err := os.MkdirTemp("", "smartstack-test-")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chown(dir, account, account); err != nil {
		tb.Fatal(err)
	}
	return &syscall.Credential{Uid: account, Gid: account}, dir
}

// own writes a file that who alone may read.
func own(tb testing.TB, who *syscall.Credential, path, text string) {
	tb.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	if who == nil {
		return
	}
	if err := os.Chown(path, int(who.Uid), int(who.Gid)); err != nil {
		tb.Fatal(err)
	}
}

// pipe runs a program to its end with text as its input.
func pipe(tb testing.TB, who *syscall.Credential, text string, argv ...string) {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), argv[0], argv[1:]...)
	cmd.Dir = "/"
	cmd.Stdin = strings.NewReader(text)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "ERROR:") {
		tb.Fatal(fmt.Errorf("%v: %w: %s", argv, err, out))
	}
}
