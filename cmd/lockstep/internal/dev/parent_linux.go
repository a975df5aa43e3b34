package dev

import "syscall"

// dieWithParent makes the kernel kill the child when its parent dies, however it dies.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
