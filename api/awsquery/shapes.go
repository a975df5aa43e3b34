package awsquery

import (
	"net/url"
	"strings"
	"time"

	"github.com/lockstep-kms/lockstep/kms"
)

// What several operations have. See decode for the tags.
type (
	ofUser struct {
		UserName string `is:"required,1-64,name"`
	}

	// self is ofUser where AWS takes the caller without a name.
	self struct {
		UserName *string `is:"1-64,name"`
	}

	ofGroup struct {
		GroupName string `is:"required,1-128,name"`
	}

	ofRole struct {
		RoleName string `is:"required,1-64,name"`
	}

	ofPolicy struct {
		PolicyArn string `is:"required,20-2048,arn"`
	}

	// tag is a pair of tags.
	tag struct {
		Key   string `is:"required,1-128,tagkey"`
		Value string `is:"required,0-256,tagvalue"`
	}

	// paging is for listings that the service pages.
	paging struct {
		Marker   string `is:"1-320,marker"`
		MaxItems *int   `is:"1-1000"`
	}

	// whole is paging of listings that the service answers whole: nobody has a marker of one.
	whole struct {
		Marker   *string `is:"never"`
		MaxItems *int    `is:"1-1000"`
	}

	// listing is paging with the filter that listings of what has a path take.
	listing struct {
		PathPrefix string `is:"1-512,prefix"`
		paging
	}

	listTagsResult struct {
		Tags        tagList
		IsTruncated bool
	}

	// more ends a page.
	more struct {
		IsTruncated bool
		Marker      string
	}
)

// named is a shape that names a user, group or role.
type named interface{ name() string }

func (s ofUser) name() string  { return s.UserName }
func (s ofGroup) name() string { return s.GroupName }
func (s ofRole) name() string  { return s.RoleName }

// name is "" for the caller.
func (s self) name() string { return value(s.UserName) }

func identityOf[N named](s *N) *kms.IdentityRequest { return &kms.IdentityRequest{Name: (*s).name()} }

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func (p paging) limit() int { return value(p.MaxItems) }

func (l *listing) request() *kms.ListRequest {
	return &kms.ListRequest{Limit: l.limit(), Marker: l.Marker}
}

// pageOf shows what of a page is under the path prefix. A page may hold less than was asked for, as at AWS.
func pageOf[E, R any](entries []E, shown func(*E) bool, shape func(*E) R) []R {
	all := make([]R, 0, len(entries))
	for i := range entries {
		if shown(&entries[i]) {
			all = append(all, shape(&entries[i]))
		}
	}
	return all
}

func under(prefix string) func(*kms.IdentityEntry) bool {
	return func(e *kms.IdentityEntry) bool { return strings.HasPrefix(e.Path, prefix) }
}

func everything[E any](*E) bool { return true }

// tagMap returns tags as the service has them. Keys that differ in case only are one, see tagList.check.
func tagMap(tags tagList) map[string]string {
	if len(tags) == 0 {
		return nil
	}
	all := make(map[string]string, len(tags))
	for _, t := range tags {
		all[t.Key] = t.Value
	}
	return all
}

type tagList []tag

// check refuses two tags of one key, of which a map would lose one.
func (l tagList) check() error {
	seen := make(map[string]bool, len(l))
	for _, t := range l {
		key := strings.ToLower(t.Key)
		if seen[key] {
			return kms.Errorf(kms.CodeInvalidTag, "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		seen[key] = true
	}
	return nil
}

// tagsOf returns tags as AWS answers them, sorted by key.
func tagsOf(tags map[string]string) *tagList {
	if len(tags) == 0 {
		return nil
	}
	all := make(tagList, 0, len(tags))
	for _, key := range sortedKeys(tags) {
		all = append(all, tag{key, tags[key]})
	}
	return &all
}

// allTags is tagsOf for answers that always have the list.
func allTags(tags map[string]string) tagList { return value(tagsOf(tags)) }

// document is a policy document as IAM answers it: percent-encoded by RFC 3986.
type document string

func documentOf(text string) document {
	return document(strings.ReplaceAll(url.QueryEscape(text), "+", "%20"))
}

type (
	boundary struct {
		PermissionsBoundaryType string
		PermissionsBoundaryArn  string
	}

	userShape struct {
		Path                string
		UserName            string
		UserId              string
		Arn                 string
		CreateDate          time.Time
		PermissionsBoundary *boundary
		Tags                *tagList
	}

	groupShape struct {
		Path       string
		GroupName  string
		GroupId    string
		Arn        string
		CreateDate time.Time
	}

	roleShape struct {
		Path                     string
		RoleName                 string
		RoleId                   string
		Arn                      string
		CreateDate               time.Time
		AssumeRolePolicyDocument document
		Description              string
		MaxSessionDuration       int
		PermissionsBoundary      *boundary
		Tags                     *tagList
	}
)

func boundaryOf(arn string) *boundary {
	if arn == "" {
		return nil
	}
	return &boundary{"PermissionsBoundaryPolicy", arn}
}

func userOf(e *kms.IdentityEntry) userShape {
	u := listedUser(e)
	u.PermissionsBoundary, u.Tags = boundaryOf(e.PermissionsBoundary), tagsOf(e.Tags)
	return u
}

// listedUser leaves out what listings leave out.
func listedUser(e *kms.IdentityEntry) userShape {
	return userShape{Path: e.Path, UserName: e.Name, UserId: e.ID, Arn: e.ARN, CreateDate: e.CreatedAt}
}

func groupOf(e *kms.IdentityEntry) groupShape {
	return groupShape{Path: e.Path, GroupName: e.Name, GroupId: e.ID, Arn: e.ARN, CreateDate: e.CreatedAt}
}

func roleOf(e *kms.IdentityEntry) roleShape {
	r := listedRole(e)
	r.PermissionsBoundary, r.Tags = boundaryOf(e.PermissionsBoundary), tagsOf(e.Tags)
	return r
}

func listedRole(e *kms.IdentityEntry) roleShape {
	return roleShape{Path: e.Path, RoleName: e.Name, RoleId: e.ID, Arn: e.ARN, CreateDate: e.CreatedAt,
		AssumeRolePolicyDocument: documentOf(e.AssumeRolePolicyDocument), Description: e.Description, MaxSessionDuration: e.MaxSessionDuration}
}

func moreOf(marker string) more { return more{marker != "", marker} }
