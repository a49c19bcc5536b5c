// Package preflight says what `haproxy -c` cannot know: whether a HAProxy that
// is about to load a file may have its ports, its user and its chroot.
//
//	err := preflight.Check(text, running, preflight.Self(program))
//
// It is asked before a reload, since HAProxy finds out too late. While it waits
// for a port (for a second) the old worker refuses connections, and when the new
// worker may not become its user, or enter its chroot, the old one has been told
// to leave already, and the master ends with both.
//
// What it does not understand it lets pass: HAProxy has the last word.
package preflight
