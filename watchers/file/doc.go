// Package file watches the file registry, and hand-written lists of backends.
//
//	"discovery": {"method": "file", "path": "/run/services/web"}
//
// When path is a directory, each *.json file in it is one registration as
// nerve's file reporter writes it. Hidden files, other names and directories
// are none of them. A file that has not been renewed for stale_after counts as
// withdrawn: its writer was killed.
//
// When path is a file, it holds a list of backends, as JSON or YAML, and no age
// applies:
//
//   - {name: web1, host: 10.0.0.1, port: 8080}
//   - {name: web2, host: 10.0.0.2, port: 8080, weight: 10}
//
// Changes are seen at once through inotify. Everything is read again every
// check_interval too, which is all that is left where inotify cannot work (some
// network file systems, or too many watches on the host).
package file
