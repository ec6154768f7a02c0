package secret

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// Nothing ends the read of a file on a network mount that is dead, and each such
// read holds a thread: at 10,000 of them the Go runtime ends the process. So one
// file takes one thread, however often it is asked for; a folder, which may hold
// the files of thousands of copies, a few; and all of them together no more than
// the net package allows itself for names. Beside a file that hangs there is
// room in its folder for others, and beside a folder for other folders.
const (
	perFolder = 16
	inAll     = 500
)

// disk is where all sources read. It is shared, as the threads of a process are.
var disk = newFiles(inAll)

// files reads files, a bounded number at once.
type files struct {
	places chan struct{} // taken while a read has a thread

	mu       sync.Mutex               // protects what follows
	folders  map[string]chan struct{} // the same by folder, as long as the process lives
	underWay map[string]*reading      // by path
}

// reading is one read, for all who wait for it.
type reading struct {
	done chan struct{} // closed when the rest is there
	text []byte
	err  error
}

// ReadFile reads a file as a [Source] does, for what lies beside passwords:
// certificates and keys.
func ReadFile(ctx context.Context, path string) ([]byte, error) { return disk.read(ctx, path) }

func newFiles(atOnce int) *files {
	return &files{
		places:   make(chan struct{}, atOnce),
		folders:  make(map[string]chan struct{}),
		underWay: make(map[string]*reading),
	}
}

// read gives what is in the file, or up when ctx ends. The read itself then goes
// on alone, and whoever asks for the file meanwhile waits for the same.
func (f *files) read(ctx context.Context, path string) ([]byte, error) {
	r := f.join(path)
	select {
	case <-r.done:
		return r.text, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%s was not read in time: see whether its mount is alive: %w", path, ctx.Err())
	}
}

func (f *files) join(path string) *reading {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.underWay[path]; r != nil {
		return r
	}
	name := filepath.Dir(path)
	folder := f.folders[name]
	if folder == nil {
		folder = make(chan struct{}, perFolder)
		f.folders[name] = folder
	}
	r := &reading{done: make(chan struct{})}
	f.underWay[path] = r
	go f.fetch(path, folder, r)
	return r
}

// fetch waits without a thread until there is a place, and then reads.
func (f *files) fetch(path string, folder chan struct{}, r *reading) {
	folder <- struct{}{}
	f.places <- struct{}{}
	r.text, r.err = os.ReadFile(path)
	<-f.places
	<-folder
	f.mu.Lock()
	delete(f.underWay, path)
	f.mu.Unlock()
	close(r.done)
}
