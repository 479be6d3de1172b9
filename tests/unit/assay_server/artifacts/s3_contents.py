"""Fills the S3 server of the tests; run by its own interpreter, which has boto3.

Arguments: address of the server, bucket, key, file with the object. Prints an access key (JSON)
that may read objects of the bucket and nothing else.
"""

import json
import sys
from pathlib import Path

import boto3  # type: ignore[import-not-found]

address, bucket, key, file = sys.argv[1:]
how = {
    "endpoint_url": address,
    "region_name": "us-east-1",
    "aws_access_key_id": "root",
    "aws_secret_access_key": "root",
}
s3, iam = boto3.client("s3", **how), boto3.client("iam", **how)
s3.create_bucket(Bucket=bucket)
s3.put_object(Bucket=bucket, Key=key, Body=Path(file).read_bytes())
iam.create_user(UserName="reader")
statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=policy)
made = iam.create_access_key(UserName="reader")["AccessKey"]
json.dump({"id": made["AccessKeyId"], "secret": made["SecretAccessKey"]}, sys.stdout)
