#include "services/ingestion/workers/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <utility>

#include "fmt/format.h"

#include "common/status/status.h"
#include "services/ingestion/workers/certificate_names.h"
#include "services/ingestion/workers/reloaded.h"

namespace yagura::ingestion {
namespace {

constexpr long kMaxPeerCertificates = 64 * 1024;  // bytes, of the whole chain
constexpr int kMaxChain = 8;
constexpr size_t kMaxRecord = 16 * 1024;

struct Free {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* connection) const { SSL_free(connection); }
  void operator()(X509* certificate) const { X509_free(certificate); }
};
using Context = std::unique_ptr<SSL_CTX, Free>;

// The reason that OpenSSL noted last, which it forgets with that.
std::string TakeReason() {
  const unsigned long code = ERR_peek_last_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  ERR_clear_error();
  return reason == nullptr ? "the connection broke" : reason;
}

Status FileError(const char* field, const std::filesystem::path& file) {
  return InvalidField(field, fmt::format("{}: {}", file.string(), TakeReason()));
}

class TlsChannel final : public Channel {
 public:
  explicit TlsChannel(std::unique_ptr<SSL, Free> connection) : connection_(std::move(connection)) {}
  ~TlsChannel() override {
    ERR_clear_error();
    // Once and without waiting: a peer that wants to know gets told that this is the end.
    if (open_ && failure_.empty()) SSL_shutdown(connection_.get());
    ERR_clear_error();
  }

  State Open() override {
    ERR_clear_error();
    const int done = SSL_accept(connection_.get());
    open_ = done == 1;
    return open_ ? State::kReady : StateOf(done);
  }

  State Receive(char* buffer, size_t size, size_t* got) override {
    *got = 0;
    // A whole record fits in each time, so that none is left in OpenSSL, where epoll cannot see it.
    while (size - *got >= kMaxRecord) {
      ERR_clear_error();
      const int read = SSL_read(connection_.get(), buffer + *got, static_cast<int>(size - *got));
      if (read <= 0) return StateOf(read);
      *got += static_cast<size_t>(read);
    }
    return State::kReady;
  }

  std::vector<std::string> Certificates() const override {
    const std::unique_ptr<X509, Free> peer(SSL_get1_peer_certificate(connection_.get()));
    const bool verified = SSL_get_verify_result(connection_.get()) == X509_V_OK;
    return peer != nullptr && verified ? CertificateNames(peer.get()) : std::vector<std::string>();
  }

  std::string failure() const override { return failure_; }

 private:
  State StateOf(int result) {
    switch (SSL_get_error(connection_.get(), result)) {
      case SSL_ERROR_WANT_READ:
        return State::kWaitsToRead;
      case SSL_ERROR_WANT_WRITE:
        return State::kWaitsToWrite;
      case SSL_ERROR_ZERO_RETURN:
        return State::kEnded;
      default:
        break;
    }
    const long verdict = SSL_get_verify_result(connection_.get());
    failure_ = TakeReason();
    if (verdict != X509_V_OK) {
      failure_ += fmt::format(" ({})", X509_verify_cert_error_string(verdict));
    }
    return State::kEnded;
  }

  const std::unique_ptr<SSL, Free> connection_;
  bool open_ = false;
  std::string failure_;
};

Status TrustClients(SSL_CTX* context, const TlsOptions& options) {
  if (options.client_ca.empty()) {
    if (!options.require_client_certificate) return absl::OkStatus();
    return InvalidField("client_ca", "is needed where clients must have a certificate");
  }
  const std::string& file = options.client_ca.native();
  if (SSL_CTX_load_verify_locations(context, file.c_str(), nullptr) != 1) {
    return FileError("client_ca", file);
  }
  STACK_OF(X509_NAME)* names = SSL_load_client_CA_file(file.c_str());
  if (names == nullptr) return FileError("client_ca", file);
  SSL_CTX_set_client_CA_list(context, names);
  // A certificate that stands in the file itself is trusted, whoever signed it.
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN);
  SSL_CTX_set_verify_depth(context, kMaxChain);
  SSL_CTX_set_verify(context,
                     options.require_client_certificate
                         ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                         : SSL_VERIFY_PEER,
                     nullptr);
  return absl::OkStatus();
}

StatusOr<Context> MakeContext(const TlsOptions& options) {
  ERR_clear_error();
  Context context(SSL_CTX_new(TLS_server_method()));
  if (context == nullptr) return Internal("OpenSSL makes no context");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  // Of TLS 1.2, those with forward secrecy alone.
  if (SSL_CTX_set_cipher_list(context.get(), "kEECDH+AESGCM:kEECDH+CHACHA20:kEECDH+AES:!aNULL") !=
      1) {
    return Internal("OpenSSL has none of the ciphers");
  }
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
                                         SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  // Every connection proves anew who it is; connections of devices last for days.
  SSL_CTX_set_num_tickets(context.get(), 0);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS);
  // A peer that sends nothing but messages of the protocol must not keep us in one call.
  SSL_CTX_clear_mode(context.get(), SSL_MODE_AUTO_RETRY);
  SSL_CTX_set_max_cert_list(context.get(), kMaxPeerCertificates);
  if (SSL_CTX_use_certificate_chain_file(context.get(), options.certificate.c_str()) != 1) {
    return FileError("certificate", options.certificate);
  }
  // No passphrase is asked for on the terminal.
  SSL_CTX_set_default_passwd_cb(context.get(), [](char*, int, int, void*) { return 0; });
  if (SSL_CTX_use_PrivateKey_file(context.get(), options.key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context.get()) != 1) {
    return FileError("key", options.key);
  }
  YAGURA_RETURN_IF_ERROR(TrustClients(context.get(), options));
  return context;
}

class OpenSslServer final : public TlsServer {
 public:
  explicit OpenSslServer(std::unique_ptr<Reloaded<SSL_CTX>> context)
      : context_(std::move(context)) {}

  std::unique_ptr<Channel> NewChannel(int fd) override {
    const auto context = context_->Get();
    ERR_clear_error();
    std::unique_ptr<SSL, Free> connection(SSL_new(context.get()));  // holds the context, too
    if (connection == nullptr || SSL_set_fd(connection.get(), fd) != 1) return nullptr;
    return std::make_unique<TlsChannel>(std::move(connection));
  }

 private:
  const std::unique_ptr<Reloaded<SSL_CTX>> context_;
};

}  // namespace

StatusOr<std::shared_ptr<TlsServer>> TlsServer::Make(const TlsOptions& options,
                                                     std::shared_ptr<const Clock> clock,
                                                     Logger logger) {
  const auto make = [options]() -> StatusOr<std::shared_ptr<SSL_CTX>> {
    YAGURA_ASSIGN_OR_RETURN(Context context, MakeContext(options));
    return std::shared_ptr<SSL_CTX>(std::move(context));
  };
  YAGURA_ASSIGN_OR_RETURN(auto context,
                          Reloaded<SSL_CTX>::Of(
                              {options.certificate, options.key, options.client_ca}, make,
                              [logger = std::move(logger)](const Status& status) {
                                TellOfReload(logger, "syslog over TLS", status);
                              },
                              std::move(clock)));
  return std::make_shared<OpenSslServer>(std::move(context));
}

void TellOfReload(const Logger& logger, std::string_view input, const Status& status) {
  if (status.ok()) {
    logger.Info("certificates were read again", {{"input", input}});
  } else {
    logger.Error("certificates have changed and cannot be used",
                 {{"input", input}, {"error", Message(status)}});
  }
}

}  // namespace yagura::ingestion
