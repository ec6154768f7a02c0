package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/drwatch/drwatch/readiness"
)

// File is what is known of the file of a runbook.
type File struct {
	// Changed is when it was changed last, as the file system says.
	Changed time.Time
	// Err says why it cannot be read; nil where it can.
	Err error
}

// ReadFiles looks at the files of runbooks. Those whose path does not begin with a
// slash are in the folder.
func ReadFiles(folder string, runbooks []Runbook) map[string]File {
	files := make(map[string]File, len(runbooks))
	for _, r := range runbooks {
		path := r.File
		if !filepath.IsAbs(path) {
			path = filepath.Join(folder, path)
		}
		files[r.File] = readFile(path)
	}
	return files
}

func readFile(path string) File {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return File{Err: err}
	case !info.Mode().IsRegular(): // opening a pipe would wait for its writer
		return File{Err: fmt.Errorf("%s is no file", path)}
	case info.Size() == 0:
		return File{Err: fmt.Errorf("%s is empty", path)}
	}
	f, err := os.Open(path)
	if err != nil {
		return File{Err: err}
	}
	return File{Changed: info.ModTime(), Err: f.Close()}
}

// runbooks are three rests for each: it can be read, what it acts on is there, and
// somebody has changed or exercised it not long ago.
func (e evaluation) runbooks() []Rest {
	if len(e.Runbooks) == 0 {
		return []Rest{{What: "runbooks", Evidence: "the file names no runbook", Remedy: "name them in audit.runbooks, with the file of each and what it touches"}}
	}
	var rests []Rest
	names := e.names()
	for _, r := range e.Runbooks {
		file, looked := e.Files[r.File]
		rests = append(rests, r.readable(file, looked), r.knows(names), e.current(r, file))
	}
	return rests
}

func (r Runbook) readable(f File, looked bool) Rest {
	rest := Rest{What: "runbook " + r.Name + ": file"}
	switch {
	case !looked:
		rest.Evidence, rest.Remedy = "nobody has looked at "+r.File, "give the file of the runbook in audit.runbooks"
	case f.Err != nil:
		rest.Status, rest.Evidence = readiness.Fail, f.Err.Error()
		rest.Remedy = "put the runbook where drwatch can read it, or correct its file in audit.runbooks"
	default:
		rest.Status, rest.Evidence = readiness.Pass, r.File+" can be read"
	}
	return rest
}

// names are all that a runbook may touch.
func (e evaluation) names() []string {
	names := slices.Clone(e.Names)
	for _, s := range e.subjects {
		names = append(names, s.of, s.name)
	}
	return names
}

func (r Runbook) knows(names []string) Rest {
	rest := Rest{What: "runbook " + r.Name + ": names", Status: readiness.Pass, Evidence: "it names nothing that it touches"}
	if len(r.Touches) == 0 {
		return rest
	}
	var strange []string
	for _, name := range r.Touches {
		if !slices.Contains(names, name) {
			strange = append(strange, fmt.Sprintf("%q is not in the file%s", name, meant(name, names)))
		}
	}
	switch {
	case len(names) == 0:
		rest.Status, rest.Evidence, rest.Remedy = readiness.Unknown, "it is not known what there is: nothing was looked at", "ask again when drwatch has looked"
	case len(strange) > 0:
		rest.Status, rest.Evidence = readiness.Fail, strings.Join(strange, "; ")
		rest.Remedy = "change the runbook to what there is now, and its touches in audit.runbooks with it"
	default:
		rest.Evidence = "all that it touches is there: " + strings.Join(r.Touches, ", ")
	}
	return rest
}

// clockSlack is by how much the clock of a file server may be ahead.
const clockSlack = 5 * time.Minute

// current judges the last change and the last exercise: the better of the two counts.
func (e evaluation) current(r Runbook, f File) Rest {
	within := within(r.Within)
	w := e.word(ofRunbook(r.Name), within)
	what := "runbook " + r.Name + ": current"
	rest := w.rest(what, goThrough)
	changed, why := f.changed(e.now)
	switch {
	case why == nil:
		rest = better(rest, e.changed(changed, within, w, what))
	case !w.there():
		rest.Evidence = fmt.Sprintf("%s; %s", why, w.evidence)
	}
	// What nobody has changed or exercised for so long is out of date, and not unknown.
	if lapsed := !rest.Lapses.IsZero() && !e.now.Before(rest.Lapses); lapsed && e.Attestations.trusted(e.now) {
		rest.Status = readiness.Fail
	}
	return rest
}

const goThrough = "go through it and change what is not true any more, or exercise it"

// changed judges the last change of the file.
func (e evaluation) changed(at time.Time, within time.Duration, exercised word, what string) Rest {
	rest := Rest{What: what, Lapses: at.Add(within)}
	rest.Status = lapsing(at, rest.Lapses, e.now)
	rest.Evidence = fmt.Sprintf("changed %s ago, which counts for %s", long(readiness.Elapsed(at, e.now)), long(within))
	if rest.Status == readiness.Unknown && !exercised.there() {
		rest.Evidence += "; an exercise: " + exercised.evidence
	}
	if rest.Status != readiness.Pass {
		rest.Remedy = exercised.remedy(goThrough)
	}
	return rest
}

// better is the one that stands for more, and of two that stand for the same the
// one that does so for longer.
func better(a, b Rest) Rest {
	if d := a.Status.Severity() - b.Status.Severity(); d < 0 || d == 0 && a.Lapses.After(b.Lapses) {
		return a
	}
	return b
}

// there reports whether somebody stands for it, or did until it lapsed.
func (w word) there() bool { return !w.lapses.IsZero() }

// changed gives the last change, or why it is not known.
func (f File) changed(now time.Time) (time.Time, error) {
	switch {
	case f.Err != nil:
		return time.Time{}, errors.New("its file cannot be read")
	case f.Changed.IsZero():
		return time.Time{}, errors.New("it is not known when its file was changed")
	case f.Changed.After(now.Add(clockSlack)):
		return time.Time{}, fmt.Errorf("its file was changed on %s, which has not come yet", date(f.Changed))
	default:
		return f.Changed, nil
	}
}

// within is how long something counts of which the file does not say it.
func within(d time.Duration) time.Duration {
	if d <= 0 {
		return quarter
	}
	return d
}
