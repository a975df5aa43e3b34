package awsquery

import "github.com/lockstep-kms/lockstep/kms"

// What this product has none of: tools ask for it all before they delete a user or role. The lists are empty by type, so that
// they cannot hold anything.
type (
	nothing []struct{}

	selfListing struct {
		self
		whole
	}

	roleListing struct {
		ofRole
		whole
	}

	serviceCredentials struct {
		self
		ServiceName string
		AllUsers    bool
		whole
	}

	virtualDevices struct {
		AssignmentStatus string `is:"Assigned|Unassigned|Any"`
		whole
	}

	noInstanceProfiles struct {
		InstanceProfiles nothing
		IsTruncated      bool
	}

	noMFADevices struct {
		MFADevices  nothing
		IsTruncated bool
	}

	noCertificates struct {
		Certificates nothing
		IsTruncated  bool
	}

	noSSHPublicKeys struct {
		SSHPublicKeys nothing
		IsTruncated   bool
	}

	noServiceCredentials struct {
		ServiceSpecificCredentials nothing
		IsTruncated                bool
	}

	noVirtualDevices struct {
		VirtualMFADevices nothing
		IsTruncated       bool
	}

	noAliases struct {
		AccountAliases nothing
		IsTruncated    bool
	}
)

func empty[Result, Shape any](*Shape, *kms.Empty) *Result { return new(Result) }

func whatever[Shape any](*Shape) *kms.Empty { return &kms.Empty{} }

func noneOperations() []*operation {
	return []*operation{
		serve(iam, kms.OpListInstanceProfilesForRole, identityOf[roleListing], empty[noInstanceProfiles, roleListing]),
		serve(iam, kms.OpListMFADevices, identityOf[selfListing], empty[noMFADevices, selfListing]),
		serve(iam, kms.OpListSigningCertificates, identityOf[selfListing], empty[noCertificates, selfListing]),
		serve(iam, kms.OpListSSHPublicKeys, identityOf[selfListing], empty[noSSHPublicKeys, selfListing]),
		serve(iam, kms.OpListServiceSpecificCredentials, identityOf[serviceCredentials], empty[noServiceCredentials, serviceCredentials]),
		serve(iam, kms.OpListVirtualMFADevices, whatever[virtualDevices], empty[noVirtualDevices, virtualDevices]),
		serve(iam, kms.OpListAccountAliases, whatever[whole], empty[noAliases, whole]),
		change(iam, kms.OpGetLoginProfile, identityOf[self]), // refused by the service: no user has a password
		change(iam, kms.OpDeleteLoginProfile, identityOf[self]),
	}
}
