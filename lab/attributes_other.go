//go:build !linux

package lab

import "syscall"

// processAttributes is never reached: Up refuses to run here.
func processAttributes(*account) *syscall.SysProcAttr { return nil }
