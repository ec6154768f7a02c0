package awsapi_test

import (
	"cmp"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/backup"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/stretchr/testify/require"
)

// services are those that probes ask, by import path: the prefix of their
// actions, and the type whose methods are their operations.
var services = map[string]struct {
	prefix string
	client reflect.Type
}{
	"github.com/aws/aws-sdk-go-v2/service/rds":                    {"rds", reflect.TypeFor[*rds.Client]()},
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch":             {"cloudwatch", reflect.TypeFor[*cloudwatch.Client]()},
	"github.com/aws/aws-sdk-go-v2/service/s3":                     {"s3", reflect.TypeFor[*s3.Client]()},
	"github.com/aws/aws-sdk-go-v2/service/backup":                 {"backup", reflect.TypeFor[*backup.Client]()},
	"github.com/aws/aws-sdk-go-v2/service/sts":                    {"sts", reflect.TypeFor[*sts.Client]()},
	"github.com/aws/aws-sdk-go-v2/service/route53":                {"route53", reflect.TypeFor[*route53.Client]()},
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2": {"elasticloadbalancing", reflect.TypeFor[*elasticloadbalancingv2.Client]()},
}

// actions are those that are not named as the operation that needs them.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
var actions = map[string]string{
	"s3:HeadObject": "s3:GetObject", "s3:ListObjectsV2": "s3:ListBucket", "s3:ListObjects": "s3:ListBucket", "s3:HeadBucket": "s3:ListBucket",
	"s3:GetObjectLockConfiguration": "s3:GetBucketObjectLockConfiguration", "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
	"s3:GetBucketReplication": "s3:GetReplicationConfiguration", "s3:ListMultipartUploads": "s3:ListBucketMultipartUploads",
	"s3:ListParts": "s3:ListMultipartUploadParts", "s3:ListObjectVersions": "s3:ListBucketVersions",
	"s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
}

// Were it to fail, the documented policy would be too little to look with, or
// more than is needed.
func TestPolicy_WhatTheCodeCalls(t *testing.T) {
	called := make(map[string]string) // action: where
	for _, folder := range []string{"awsapi", "awsbackup", "elb", "rds", "route53", "s3"} {
		for path, file := range sources(t, filepath.Join("..", folder)) {
			for operation := range operations(file) {
				called[cmp.Or(actions[operation], operation)] = path
			}
		}
	}
	require.NotEmpty(t, called)
	require.Equal(t, slices.Sorted(maps.Keys(called)), granted(t, "../../docs/iam-policy.json"),
		"docs/iam-policy.json grants (actual) what the code calls (expected), and nothing else: %v", called)
}

// Were it to fail, the page would say something else than the policy.
func TestPolicy_EveryActionIsExplained(t *testing.T) {
	var pages strings.Builder
	for _, name := range []string{"aws.md", "rds.md", "s3.md", "awsbackup.md", "route53.md", "elb.md"} {
		text, err := os.ReadFile(filepath.Join("../../docs/probes", name))
		require.NoError(t, err)
		pages.Write(text)
	}
	for _, action := range granted(t, "../../docs/iam-policy.json") {
		require.Contains(t, pages.String(), "`"+action+"`", "docs/probes tell what it is needed for")
	}
}

// granted lists the actions that a policy allows.
func granted(t *testing.T, path string) (all []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var policy struct {
		Version   string
		Statement []struct {
			Sid, Effect      string
			Action, Resource []string
		}
	}
	require.NoError(t, json.Unmarshal(text, &policy))
	require.Equal(t, "2012-10-17", policy.Version)
	for _, s := range policy.Statement {
		require.Equal(t, "Allow", s.Effect)
		require.NotEmpty(t, s.Resource)
		for _, action := range s.Action {
			require.NotContains(t, action, "*", "no more than is named")
			require.NotContains(t, all, action, "named once")
			all = append(all, action)
		}
	}
	slices.Sort(all)
	return all
}

// sources parses what is compiled of a package and its folders.
func sources(t *testing.T, folder string) map[string]*ast.File {
	t.Helper()
	files, all := token.NewFileSet(), make(map[string]*ast.File)
	err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		all[path] = file
		return err
	})
	require.NoError(t, err)
	return all
}

// operations are the calls of a file to AWS: of methods that have the name of an
// operation of a service that the file imports, and of the paginators of such
// operations. A method of our own with such a name would count, too.
func operations(file *ast.File) map[string]bool {
	found := make(map[string]bool)
	for _, spec := range file.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		service, ok := services[path]
		if !ok {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			selector, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			name := selector.Sel.Name
			if paged, ok := strings.CutPrefix(name, "New"); ok {
				name = strings.TrimSuffix(paged, "Paginator")
			}
			if _, ok := service.client.MethodByName(name); ok && name != "Options" {
				found[service.prefix+":"+name] = true
			}
			return true
		})
	}
	return found
}
