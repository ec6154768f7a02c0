package web

import (
	_ "embed"
	"fmt"
	"html/template"
	"slices"
	"time"

	"github.com/drwatch/drwatch/audit"
	"github.com/drwatch/drwatch/readiness"
)

//go:embed page.html
var pageText string

// view is what the page shows, which is the report, what the checklist before a
// disaster makes of it, and nothing else.
type view struct {
	*readiness.Report
	Checklist []audit.ItemResult
	Version   string
}

// before are the items that are due before a disaster.
func before(r audit.Result) []audit.ItemResult {
	return slices.DeleteFunc(slices.Clone(r.Items), func(i audit.ItemResult) bool { return i.Phase != audit.Before })
}

func parsePage() (*template.Template, error) {
	page, err := template.New("page").Funcs(template.FuncMap{"clock": clock, "length": length, "word": word}).Parse(pageText)
	if err != nil {
		return nil, fmt.Errorf("parse the page: %w", err)
	}
	return page, nil
}

// Age tells how long before the report a moment was.
func (v view) Age(at readiness.Maybe[time.Time]) string {
	moment, known := at.Get()
	if !known {
		return "unknown"
	}
	return v.Report.Age(moment).String() + " ago"
}

func clock(at readiness.Maybe[time.Time]) string {
	moment, known := at.Get()
	if !known {
		return "unknown"
	}
	return moment.UTC().Format("2006-01-02 15:04:05 UTC")
}

func length(v readiness.Maybe[readiness.Seconds]) string {
	s, known := v.Get()
	if !known {
		return "unknown"
	}
	return s.String()
}

func word(ready bool) string {
	if ready {
		return "pass"
	}
	return "fail"
}
