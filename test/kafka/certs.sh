#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# certs.sh DIR - makes the certificates of a test broker and its clients, once. In DIR afterwards:
#   ca/ca.crt                      the authority that the broker and its clients trust; a folder, as Strimzi mounts it
#   broker/server.{crt,key}        the broker: localhost and 127.0.0.1; broker/store.pem is key and chain in one file
#   client/user.{crt,key}          a client that the broker accepts
#   client2/user.{crt,key}         another one, for tests that rotate certificates
#   stranger-ca/ca.crt             an authority that the broker does not know
#   stranger/user.{crt,key}        a client of that one
# DAYS is how long they hold (7).
set -euo pipefail

dir=${1:?usage: certs.sh DIR}
days=${DAYS:-7}
umask 077
mkdir -p "$dir"
cd "$dir"
if [ -e complete ]; then
    exit 0
fi

key() { # FILE: a P-256 key as PKCS#8 PEM, the only form that a Kafka PEM store takes
    openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null ||
        openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"
}

authority() { # FOLDER NAME
    mkdir -p "$1"
    key "$1/ca.key"
    openssl req -x509 -new -key "$1/ca.key" -sha256 -days "$days" -subj "/CN=$2" -out "$1/ca.crt" \
        -addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign,cRLSign'
}

issue() { # AUTHORITY CERTIFICATE KEY NAME USAGE [ALTERNATIVE-NAMES]
    mkdir -p "$(dirname "$2")"
    key "$3"
    {
        echo 'basicConstraints=critical,CA:FALSE'
        echo "extendedKeyUsage=$5"
        if [ -n "${6:-}" ]; then
            echo "subjectAltName=$6"
        fi
    } >extensions
    openssl req -new -key "$3" -subj "/CN=$4" -out request
    openssl x509 -req -in request -CA "$1/ca.crt" -CAkey "$1/ca.key" -CAcreateserial -sha256 -days "$days" \
        -extfile extensions -out "$2" 2>/dev/null
    rm -f request extensions
}

authority ca 'fragua test authority'
authority stranger-ca 'an authority nobody knows'
issue ca broker/server.crt broker/server.key localhost serverAuth,clientAuth 'DNS:localhost,IP:127.0.0.1'
issue ca client/user.crt client/user.key fragua clientAuth
issue ca client2/user.crt client2/user.key fragua-second clientAuth
issue stranger-ca stranger/user.crt stranger/user.key stranger clientAuth
cat broker/server.key broker/server.crt >broker/store.pem
touch complete
