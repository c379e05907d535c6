#pragma once

#include <string>
#include <vector>

struct x509_st;  // OpenSSL's X509

namespace yagura::ingestion {

// What a certificate can be told by in Source.match.certificate: first "sha256:" and the digest of
// the whole certificate in hex, then the common name of its subject ("cn:...") and its subject
// alternative names ("dns:fw1.example.com", "ip:192.0.2.1", "uri:...", "email:..."). Names of DNS
// and e-mail are in lower case. At most kMaxCertificateNames; a name that is no plain text of at
// most 255 bytes is left out.
std::vector<std::string> CertificateNames(const x509_st* certificate);

inline constexpr size_t kMaxCertificateNames = 17;

}  // namespace yagura::ingestion
