#include "cli/send/tls_client.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>

#include "fmt/format.h"

#include "common/status/status.h"

namespace yagura::cli {
namespace {

constexpr size_t kMaxWrite = 1 << 20;

struct Free {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* connection) const { SSL_free(connection); }
  void operator()(ASN1_OCTET_STRING* text) const { ASN1_OCTET_STRING_free(text); }
};
using Context = std::unique_ptr<SSL_CTX, Free>;
using Connection = std::unique_ptr<SSL, Free>;

std::string TakeReason() {
  const unsigned long code = ERR_peek_last_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  ERR_clear_error();
  return reason == nullptr ? "the connection broke" : reason;
}

absl::Status FileError(const char* option, const std::string& file) {
  return InvalidField(option, fmt::format("{}: {}", file, TakeReason()));
}

absl::StatusOr<Context> MakeContext(const TlsClientOptions& options) {
  ERR_clear_error();
  Context context(SSL_CTX_new(TLS_client_method()));
  if (context == nullptr) return Internal("OpenSSL makes no context");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  if (options.ca.empty()) {
    SSL_CTX_set_default_verify_paths(context.get());
  } else if (SSL_CTX_load_verify_locations(context.get(), options.ca.c_str(), nullptr) != 1) {
    return FileError("ca", options.ca);
  }
  if (options.certificate.empty() != options.key.empty()) {
    return InvalidField("cert", "goes with --key, and --key with --cert");
  }
  if (options.certificate.empty()) return context;
  if (SSL_CTX_use_certificate_chain_file(context.get(), options.certificate.c_str()) != 1) {
    return FileError("cert", options.certificate);
  }
  if (SSL_CTX_use_PrivateKey_file(context.get(), options.key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context.get()) != 1) {
    return FileError("key", options.key);
  }
  return context;
}

bool SetHost(SSL* connection, const std::string& host) {
  const std::unique_ptr<ASN1_OCTET_STRING, Free> address(a2i_IPADDRESS(host.c_str()));
  if (address != nullptr) {
    return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(connection), host.c_str()) == 1;
  }
  return SSL_set1_host(connection, host.c_str()) == 1 &&
         SSL_set_tlsext_host_name(connection, host.c_str()) == 1;
}

class OpenSslClient final : public TlsClient {
 public:
  OpenSslClient(Context context, Connection connection)
      : context_(std::move(context)), connection_(std::move(connection)) {}

  absl::Status Write(std::string_view bytes) override {
    while (!bytes.empty()) {
      ERR_clear_error();
      const auto size = static_cast<int>(std::min(bytes.size(), kMaxWrite));
      const int sent = SSL_write(connection_.get(), bytes.data(), size);
      if (sent <= 0) return Broken();
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return absl::OkStatus();
  }

  absl::Status EndWriting() override {
    ERR_clear_error();
    return SSL_shutdown(connection_.get()) < 0 ? Broken() : absl::OkStatus();
  }

  absl::Status AwaitEnd() override {
    std::array<char, 256> ignored{};
    ERR_clear_error();
    int got = 1;
    while (got > 0) got = SSL_read(connection_.get(), ignored.data(), ignored.size());
    return SSL_get_error(connection_.get(), got) == SSL_ERROR_ZERO_RETURN ? absl::OkStatus()
                                                                          : Broken();
  }

 private:
  // A server that refuses our certificate says so only after we have begun to write.
  static absl::Status Broken() {
    return Unavailable("SYSLOG_UNREACHABLE", fmt::format("TLS: {}", TakeReason()));
  }

  const Context context_;
  const Connection connection_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TlsClient>> TlsClient::Connect(int socket, const std::string& host,
                                                              const TlsClientOptions& options) {
  YAGURA_ASSIGN_OR_RETURN(Context context, MakeContext(options));
  Connection connection(SSL_new(context.get()));
  if (connection == nullptr || SSL_set_fd(connection.get(), socket) != 1 ||
      !SetHost(connection.get(), host)) {
    return Internal("OpenSSL makes no connection");
  }
  ERR_clear_error();
  if (SSL_connect(connection.get()) == 1) {
    return std::make_unique<OpenSslClient>(std::move(context), std::move(connection));
  }
  const long verdict = SSL_get_verify_result(connection.get());
  if (verdict == X509_V_OK) {
    return Unavailable("SYSLOG_UNREACHABLE", fmt::format("TLS: {}", TakeReason()));
  }
  ERR_clear_error();
  return MakeError(absl::StatusCode::kFailedPrecondition, "SERVER_NOT_TRUSTED",
                   fmt::format("the server's certificate is not trusted: {}",
                               X509_verify_cert_error_string(verdict)));
}

}  // namespace yagura::cli
