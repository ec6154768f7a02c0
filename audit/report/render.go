package report

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/drwatch/drwatch/audit"
	"github.com/drwatch/drwatch/readiness"
)

// sources are what decides how the page looks.
//
//go:embed page.html render.go chart.go summary.go
var sources embed.FS

// layout identifies them.
func layout() string {
	sum := sha256.New()
	for _, name := range []string{"page.html", "render.go", "chart.go", "summary.go"} {
		text, _ := sources.ReadFile(name) // it is in the program
		_, _ = sum.Write(text)
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// view is what the page shows: the data, and what follows from them.
type view struct {
	*Data
	JSON     template.JS
	Summary  []string
	Coverage []coverage
	Charts   []chart
}

// Render writes the page. The same data give the same bytes.
func Render(w io.Writer, d *Data) error {
	d, err := canonical(d)
	if err != nil {
		return fmt.Errorf("render the report: %w", err)
	}
	if err := d.sound(); err != nil {
		return fmt.Errorf("render the report: %w", err)
	}
	text, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("render the report: %w", err)
	}
	// Marshal escapes <, > and &, so that nothing in it ends the element it stands in.
	v := view{Data: d, JSON: template.JS(text), Summary: summary(d), Coverage: coverages(d)} //nolint:gosec // see above
	for i, p := range d.Compliance.Pairs {
		v.Charts = append(v.Charts, chartOf(i, p, d.Compliance))
	}
	page, err := template.New("page.html").Funcs(words()).ParseFS(sources, "page.html")
	if err != nil {
		return fmt.Errorf("parse the page of the report: %w", err)
	}
	if err := page.Execute(w, v); err != nil {
		return fmt.Errorf("render the report: %w", err)
	}
	return nil
}

// century is about as long, in seconds.
const century = 3.2e9

// sound holds that what belongs together has the same length: the data may come from
// a page that somebody else has made.
func (d *Data) sound() error {
	for _, p := range d.Compliance.Pairs {
		n := len(p.Points.Observed)
		if float64(n)*float64(d.Compliance.Step) > century {
			return fmt.Errorf("%d steps of %s are more than a century", n, d.Compliance.Step)
		}
		if n != len(p.Points.Worst) || n != len(p.Points.Breach) {
			return fmt.Errorf("the points of %s in a %s are not complete", p.Datastore, p.Scenario)
		}
	}
	if len(d.Compliance.Pairs) > 0 && (d.Compliance.Step < 1 || d.Compliance.Step > century) {
		return fmt.Errorf("there are no steps of %v s", float64(d.Compliance.Step))
	}
	return nil
}

// words are the functions of the page.
func words() template.FuncMap {
	return template.FuncMap{
		"when":    when,
		"maybe":   maybeWhen,
		"length":  length,
		"percent": percent,
		"share":   share,
		"href":    href,
		"counted": counted,
		"commas":  commas,
		"title":   title,
		"objectives": func(of map[readiness.Scenario]readiness.Seconds) []objective {
			return objectives(of)
		},
		"inPhase": inPhase,
		"phases":  audit.Phases,
	}
}

func when(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05 UTC") }

func maybeWhen(at readiness.Maybe[time.Time]) string {
	moment, known := at.Get()
	if !known {
		return "unknown"
	}
	return when(moment)
}

func length(m readiness.Maybe[readiness.Seconds]) string {
	s, known := m.Get()
	if !known {
		return "unknown"
	}
	return s.String()
}

// percent never rounds up: only what is whole is 100 %.
func percent(share float64) string {
	if math.IsNaN(share) {
		return "unknown"
	}
	down := math.Floor(share*10_000+1e-6) / 100
	if share < 1 {
		down = min(down, 99.99)
	}
	return strconv.FormatFloat(down, 'f', -1, 64) + " %"
}

// share is a part of something, where there is something.
func share(part, of readiness.Seconds) string {
	if of <= 0 {
		return "unknown"
	}
	return percent(float64(part / of))
}

// href is where a text leads, if it may be followed: nothing but the web
// and mail, and no address with a name before its host.
func href(text string) string {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.User != nil || len(text) > mostText {
		return ""
	}
	switch {
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "", u.Scheme == "mailto" && u.Opaque != "":
		return u.String()
	}
	return ""
}

// counted puts a number before a word: 1 gap, 2 gaps.
func counted(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	if stem, ok := strings.CutSuffix(word, "ch"); ok {
		return commas(uint64(max(0, n))) + " " + stem + "ches"
	}
	return commas(uint64(max(0, n))) + " " + word + "s"
}

// commas groups the digits of a number.
func commas(n uint64) string {
	text := strconv.FormatUint(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// title makes a sentence of the beginning of one.
func title(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

type objective struct {
	Scenario readiness.Scenario
	Seconds  readiness.Seconds
}

// objectives has the mildest scenario first.
func objectives(of map[readiness.Scenario]readiness.Seconds) (all []objective) {
	for _, s := range scenarios(of) {
		all = append(all, objective{s, of[s]})
	}
	return all
}

// scenarios lists those of a map, mildest first, and then those that nobody knows.
func scenarios[V any](of map[readiness.Scenario]V) (all []readiness.Scenario) {
	for s := range of {
		all = append(all, s)
	}
	slices.SortFunc(all, bySeverity)
	return all
}

func bySeverity(a, b readiness.Scenario) int {
	known := readiness.Scenarios()
	i, j := slices.Index(known, a), slices.Index(known, b)
	switch {
	case i >= 0 && j >= 0:
		return i - j
	case i < 0 && j < 0:
		return strings.Compare(string(a), string(b))
	}
	return j - i // the unknown one last
}

// inPhase gives the items of a phase.
func inPhase(r audit.Result, phase audit.Phase) (items []audit.ItemResult) {
	for _, item := range r.Items {
		if item.Phase == phase {
			items = append(items, item)
		}
	}
	return items
}
