// Any bytes as the certificates that a client shows: names are plain, few, and only told where
// somebody trusted vouches for the certificate. The trusted authority stands in no seed, so nobody
// vouches but for what is trusted itself.
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "services/ingestion/workers/certificate_names.h"
#include "services/ingestion/workers/client_trust.h"
#include "tests/fuzz/ingestion/damaged_file.h"

namespace {

using yagura::ingestion::CertificateNames;
using yagura::ingestion::ClientTrust;
using yagura::ingestion::kMaxCertificateNames;

void Must(bool holds) {
  if (!holds) std::abort();
}

// Trusts one certificate of its own, whose key nobody has.
std::shared_ptr<const ClientTrust> NewTrust() {
  const yagura::fuzz::Folder folder;
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* x509 = X509_new();
  X509_set_version(x509, X509_VERSION_3);
  X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
  X509_gmtime_adj(X509_getm_notAfter(x509), 1L << 30);
  X509_set_pubkey(x509, key);
  Must(X509_sign(x509, key, EVP_sha256()) > 0);
  const auto file = folder.path() / "ca.pem";
  FILE* out = std::fopen(file.c_str(), "w");
  Must(out != nullptr && PEM_write_X509(out, x509) == 1 && std::fclose(out) == 0);
  X509_free(x509);
  EVP_PKEY_free(key);
  return ClientTrust::Load(file).value();
}

void CheckNames(const std::vector<std::string>& names) {
  Must(!names.empty() && names.size() <= kMaxCertificateNames);
  Must(names[0].starts_with("sha256:"));
  for (const std::string& name : names) {
    Must(name.size() <= 300);
    for (const char c : name) Must(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto kTrust = NewTrust();
  const std::string_view der(reinterpret_cast<const char*>(data), size);
  const auto* bytes = data;
  if (X509* x509 = d2i_X509(nullptr, &bytes, static_cast<long>(size)); x509 != nullptr) {
    CheckNames(CertificateNames(x509));
    X509_free(x509);
  }
  const std::vector<std::string_view> chain = {der, der.substr(0, size / 2), der};
  for (size_t length = 0; length <= chain.size(); ++length) {
    Must(!kTrust->Names({chain.data(), length}).ok());
  }
  return 0;
}
