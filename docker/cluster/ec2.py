"""EC2 by moto: three instances that carry the tag role=legacy, with the
private addresses of the three hosts."""

import sys
import threading
import time

import boto3
from moto.server import main

ADDRESSES = sys.argv[1:]


def fill():
    ec2 = boto3.client("ec2", endpoint_url="http://127.0.0.1:5000", region_name="us-east-1",
                       aws_access_key_id="demo", aws_secret_access_key="demo")
    for _ in range(600):
        try:
            vpc = ec2.create_vpc(CidrBlock="172.28.0.0/16")["Vpc"]["VpcId"]
            break
        except Exception:
            time.sleep(0.1)
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="172.28.0.0/24")["Subnet"]["SubnetId"]
    for address in ADDRESSES:
        ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1, SubnetId=subnet, PrivateIpAddress=address,
                          TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "role", "Value": "legacy"}]}])
    print("moto has", len(ADDRESSES), "instances", flush=True)


threading.Thread(target=fill, daemon=True).start()
main(["-H", "0.0.0.0", "-p", "5000"])
