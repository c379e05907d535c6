#include "services/ingestion/workers/client_trust.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include <utility>

#include "fmt/format.h"

#include "common/status/status.h"
#include "services/ingestion/workers/certificate_names.h"

namespace yagura::ingestion {
namespace {

constexpr int kMaxChain = 8;
// As OpenSSL asks of a connection: of RSA 2,048 bits, no SHA-1.
constexpr int kSecurityLevel = 2;

struct FreeCertificate {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
struct FreeContext {
  void operator()(X509_STORE_CTX* context) const { X509_STORE_CTX_free(context); }
};
struct FreeChain {
  void operator()(STACK_OF(X509) * chain) const { sk_X509_pop_free(chain, X509_free); }
};
using Certificate = std::unique_ptr<X509, FreeCertificate>;

Certificate Decode(std::string_view der) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(der.data());
  const auto* const end = bytes + der.size();
  Certificate certificate(d2i_X509(nullptr, &bytes, static_cast<long>(der.size())));
  return bytes == end ? std::move(certificate) : nullptr;
}

Status Refused(std::string_view why) {
  ERR_clear_error();
  return MakeError(absl::StatusCode::kUnauthenticated, "CERTIFICATE_REFUSED", why);
}

}  // namespace

void ClientTrust::Free::operator()(X509_STORE* store) const { X509_STORE_free(store); }

ClientTrust::ClientTrust(std::unique_ptr<X509_STORE, Free> store) : store_(std::move(store)) {}

StatusOr<std::shared_ptr<const ClientTrust>> ClientTrust::Load(const std::filesystem::path& file) {
  ERR_clear_error();
  std::unique_ptr<X509_STORE, Free> store(X509_STORE_new());
  if (store == nullptr) return Internal("OpenSSL makes no store of certificates");
  if (X509_STORE_load_file(store.get(), file.c_str()) != 1) {
    const unsigned long code = ERR_peek_last_error();
    const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
    ERR_clear_error();
    return InvalidField("client_ca", fmt::format("{}: {}", file.string(),
                                                 reason == nullptr ? "is not usable" : reason));
  }
  X509_VERIFY_PARAM* parameters = X509_STORE_get0_param(store.get());
  // A certificate that stands in the file itself is trusted, whoever signed it.
  X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_PARTIAL_CHAIN);
  X509_VERIFY_PARAM_set_depth(parameters, kMaxChain);
  X509_VERIFY_PARAM_set_auth_level(parameters, kSecurityLevel);
  return std::shared_ptr<const ClientTrust>(new ClientTrust(std::move(store)));
}

StatusOr<std::vector<std::string>> ClientTrust::Names(
    std::span<const std::string_view> chain) const {
  if (chain.empty()) return Refused("there is no certificate");
  if (chain.size() > kMaxChain) return Refused("the chain of certificates is too long");
  const Certificate own = Decode(chain[0]);
  if (own == nullptr) return Refused("the certificate cannot be read");
  const std::unique_ptr<STACK_OF(X509), FreeChain> others(sk_X509_new_null());
  for (const std::string_view der : chain.subspan(1)) {
    Certificate other = Decode(der);
    if (other == nullptr || sk_X509_push(others.get(), other.get()) == 0) {
      return Refused("a certificate of the chain cannot be read");
    }
    static_cast<void>(other.release());  // the chain's
  }
  const std::unique_ptr<X509_STORE_CTX, FreeContext> context(X509_STORE_CTX_new());
  if (context == nullptr ||
      X509_STORE_CTX_init(context.get(), store_.get(), own.get(), others.get()) != 1 ||
      X509_STORE_CTX_set_default(context.get(), "ssl_client") != 1) {
    return Refused("the certificate cannot be checked");
  }
  if (X509_verify_cert(context.get()) != 1) {
    return Refused(X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get())));
  }
  ERR_clear_error();
  return CertificateNames(own.get());
}

}  // namespace yagura::ingestion
