#include "cli/up/server_certificate.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include "fmt/format.h"

#include "common/status/status.h"

namespace yagura::cli {
namespace {

constexpr long kValidSeconds = 10L * 365 * 24 * 3600;
constexpr long kEarlierSeconds = 3600;  // clocks of senders differ

struct Free {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using Key = std::unique_ptr<EVP_PKEY, Free>;
using Certificate = std::unique_ptr<X509, Free>;

// Letters, digits, dots and hyphens alone: the text becomes part of a list.
std::string HostName() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "";
  const std::string host = name.data();
  const bool plain =
      host.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") ==
      std::string::npos;
  return plain ? host : "";
}

bool AddExtension(X509* certificate, int what, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, Free> extension(
      X509V3_EXT_conf_nid(nullptr, &context, what, value.c_str()));
  return extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1;
}

Certificate SelfSigned(EVP_PKEY* key) {
  Certificate certificate(X509_new());
  if (certificate == nullptr) return nullptr;
  X509* x509 = certificate.get();
  uint64_t serial = 0;
  if (RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) != 1) return nullptr;
  const std::string host = HostName();
  const std::string common = "Yagura syslog";
  std::string names = "DNS:localhost,IP:127.0.0.1,IP:::1";
  if (!host.empty() && host != "localhost") names += ",DNS:" + host;
  X509_NAME* subject = X509_get_subject_name(x509);
  const bool made =
      X509_set_version(x509, X509_VERSION_3) == 1 &&
      ASN1_INTEGER_set_uint64(X509_get_serialNumber(x509), serial >> 1 | 1) == 1 &&
      X509_gmtime_adj(X509_getm_notBefore(x509), -kEarlierSeconds) != nullptr &&
      X509_gmtime_adj(X509_getm_notAfter(x509), kValidSeconds) != nullptr &&
      X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(common.data()),
                                 static_cast<int>(common.size()), -1, 0) == 1 &&
      X509_set_issuer_name(x509, subject) == 1 && X509_set_pubkey(x509, key) == 1 &&
      AddExtension(x509, NID_subject_key_identifier, "hash") &&
      AddExtension(x509, NID_basic_constraints, "critical,CA:FALSE") &&
      AddExtension(x509, NID_key_usage, "critical,digitalSignature") &&
      AddExtension(x509, NID_ext_key_usage, "serverAuth") &&
      AddExtension(x509, NID_subject_alt_name, names) && X509_sign(x509, key, EVP_sha256()) > 0;
  return made ? std::move(certificate) : nullptr;
}

// Whole or not at all.
absl::Status WriteFile(const std::filesystem::path& path, BIO* text, mode_t mode) {
  const auto fail = [&path] {
    return MakeError(absl::StatusCode::kFailedPrecondition, "DATA_DIR_UNUSABLE",
                     fmt::format("{}: {}", path.string(), strerror(errno)));
  };
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(text, &bytes);
  const std::string fresh = path.string() + ".new";
  const int fd = open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  if (fd < 0) return fail();
  const bool written = write(fd, bytes, static_cast<size_t>(size)) == size && fsync(fd) == 0;
  close(fd);
  if (!written || rename(fresh.c_str(), path.c_str()) != 0) return fail();
  return absl::OkStatus();
}

}  // namespace

absl::Status EnsureServerCertificate(const std::filesystem::path& certificate_file,
                                     const std::filesystem::path& key_file) {
  std::error_code error;
  if (std::filesystem::exists(certificate_file, error) &&
      std::filesystem::exists(key_file, error)) {
    return absl::OkStatus();
  }
  const absl::Status failure = Internal("OpenSSL makes no certificate");
  const Key key(EVP_EC_gen("P-256"));
  if (key == nullptr) return failure;
  const Certificate certificate = SelfSigned(key.get());
  const std::unique_ptr<BIO, Free> key_text(BIO_new(BIO_s_secmem()));
  const std::unique_ptr<BIO, Free> certificate_text(BIO_new(BIO_s_mem()));
  if (certificate == nullptr || key_text == nullptr || certificate_text == nullptr ||
      PEM_write_bio_PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) !=
          1 ||
      PEM_write_bio_X509(certificate_text.get(), certificate.get()) != 1) {
    return failure;
  }
  // The certificate last: while it is not there, both are made again.
  std::filesystem::remove(certificate_file, error);
  YAGURA_RETURN_IF_ERROR(WriteFile(key_file, key_text.get(), 0600));
  return WriteFile(certificate_file, certificate_text.get(), 0644);
}

}  // namespace yagura::cli
