#include "tests/integration/ingestion/test_certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <array>
#include <cstdio>
#include <cstdlib>

#include "common/text/text.h"

namespace yagura::ingestion {

struct TestCertificate::Parts {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* x509 = X509_new();
  ~Parts() {
    X509_free(x509);
    EVP_PKEY_free(key);
  }
};

namespace {

void Must(bool done) {
  if (!done) std::abort();
}

void AddExtension(X509* x509, int what, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, x509, x509, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, what, value.c_str());
  Must(extension != nullptr && X509_add_ext(x509, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

}  // namespace

TestCertificate::TestCertificate(const std::filesystem::path& folder, const std::string& name,
                                 const TestSubject& subject, const TestCertificate* issuer)
    : path_((folder / name).string()), parts_(std::make_unique<Parts>()) {
  X509* x509 = parts_->x509;
  X509_set_version(x509, X509_VERSION_3);
  static long serial = 0;
  ASN1_INTEGER_set(X509_get_serialNumber(x509), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(x509), -24L * 3600);
  X509_gmtime_adj(X509_getm_notAfter(x509), static_cast<long>(subject.valid_for.count()));
  Must(X509_NAME_add_entry_by_txt(
           X509_get_subject_name(x509), "CN", MBSTRING_UTF8,
           reinterpret_cast<const unsigned char*>(subject.common_name.c_str()), -1, -1, 0) == 1);
  const Parts& signer = issuer == nullptr ? *parts_ : *issuer->parts_;
  X509_set_issuer_name(x509, X509_get_subject_name(signer.x509));
  X509_set_pubkey(x509, parts_->key);
  AddExtension(x509, NID_basic_constraints, subject.authority ? "critical,CA:TRUE" : "CA:FALSE");
  if (!subject.alternatives.empty()) {
    AddExtension(x509, NID_subject_alt_name, subject.alternatives);
  }
  Must(X509_sign(x509, signer.key, EVP_sha256()) > 0);
  FILE* file = std::fopen(certificate().c_str(), "w");
  Must(file != nullptr && PEM_write_X509(file, x509) == 1 && std::fclose(file) == 0);
  file = std::fopen(key().c_str(), "w");
  Must(file != nullptr &&
       PEM_write_PrivateKey(file, parts_->key, nullptr, nullptr, 0, nullptr, nullptr) == 1 &&
       std::fclose(file) == 0);
}

TestCertificate::~TestCertificate() = default;

std::string TestCertificate::Digest() const {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  X509_digest(parts_->x509, EVP_sha256(), digest.data(), &size);
  return "sha256:" + HexEncode({reinterpret_cast<const char*>(digest.data()), size});
}

}  // namespace yagura::ingestion
