package lab

import "syscall"

// processAttributes give a process a group of its own, its user, and an end together with the thread that started it.
// The Go runtime asks for that signal after it has changed the user, which would clear it (prctl(2)).
func processAttributes(user *account) *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if user != nil {
		attributes.Credential = &syscall.Credential{Uid: user.uid, Gid: user.gid}
	}
	return attributes
}
