// Package awsconn finds what a client of AWS needs: credentials, region,
// endpoint and certificates, from where all AWS tools look for them.
//
//	conf, err := awsconn.Find(ctx, awsconn.Options{Service: "EC2"})
//	describe := ec2.NewFromConfig(conf).DescribeInstances // never the client behind an interface
//
// The first of these that has credentials counts:
//
//  1. Options;
//  2. the environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, with
//     AWS_SESSION_TOKEN;
//  3. the environment: AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, as EKS
//     sets them;
//  4. the profile (AWS_PROFILE, else "default") in the files of AWS: keys, a
//     role with its source, a web identity, or a program that prints keys;
//  5. the container: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI;
//  6. the role of the instance, from the host's metadata.
//
// A profile for a person at a browser (SSO, "aws login") or with a second
// factor is refused, by name. The library's LoadDefaultConfig supports the
// browser too, and costs 2.6 MB more: docs/decisions/0007. Even
// its parsers of the environment and of profiles bring four clients along, so
// Find reads both itself, by the same rules.
package awsconn
