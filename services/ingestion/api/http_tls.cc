#include "services/ingestion/api/http_tls.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include <fstream>
#include <sstream>
#include <string_view>
#include <type_traits>
#include <utility>

#include "fmt/format.h"

#include "common/status/status.h"
#include "services/ingestion/workers/client_trust.h"
#include "services/ingestion/workers/reloaded.h"

namespace yagura::ingestion {
namespace {

// Of TLS 1.2, key exchanges with forward secrecy and ciphers with authentication alone. No tickets:
// every connection proves anew who it is.
constexpr char kPriorities[] =
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:-CIPHER-ALL:"
    "+AES-256-GCM:+AES-128-GCM:+CHACHA20-POLY1305:%SERVER_PRECEDENCE:%NO_TICKETS";
constexpr size_t kMaxHandshakeMessage = 64 * 1024;  // a client's certificates among them
constexpr size_t kMaxFile = 1 << 20;

struct Free {
  void operator()(gnutls_certificate_credentials_st* credentials) const {
    gnutls_certificate_free_credentials(credentials);
  }
};
using Credentials = std::unique_ptr<std::remove_pointer_t<gnutls_certificate_credentials_t>, Free>;

// What the files say at one time.
struct Material {
  std::string certificate;  // PEM
  std::string key;
  Credentials credentials;
  std::shared_ptr<const ClientTrust> trust;  // null: clients are not asked
};

gnutls_datum_t DatumOf(std::string& text) {
  return {reinterpret_cast<unsigned char*>(text.data()), static_cast<unsigned int>(text.size())};
}

StatusOr<std::string> ReadFile(const char* field, const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  if (!in || text.view().empty() || text.view().size() > kMaxFile) {
    return InvalidField(field, fmt::format("{}: cannot be read", file.string()));
  }
  return text.str();
}

// Whether there is any certificate in it.
Status CheckCertificates(std::string pem, const std::filesystem::path& file) {
  gnutls_x509_crt_t* list = nullptr;
  unsigned int count = 0;
  const gnutls_datum_t datum = DatumOf(pem);
  const int result = gnutls_x509_crt_list_import2(&list, &count, &datum, GNUTLS_X509_FMT_PEM, 0);
  if (result < 0) {
    return InvalidField("certificate",
                        fmt::format("{}: {}", file.string(), gnutls_strerror(result)));
  }
  for (unsigned int i = 0; i < count; ++i) gnutls_x509_crt_deinit(list[i]);
  gnutls_free(list);
  return absl::OkStatus();
}

StatusOr<std::shared_ptr<Material>> ReadMaterial(const TlsOptions& options) {
  auto material = std::make_shared<Material>();
  YAGURA_ASSIGN_OR_RETURN(material->certificate, ReadFile("certificate", options.certificate));
  YAGURA_ASSIGN_OR_RETURN(material->key, ReadFile("key", options.key));
  YAGURA_RETURN_IF_ERROR(CheckCertificates(material->certificate, options.certificate));
  gnutls_certificate_credentials_t credentials = nullptr;
  if (gnutls_certificate_allocate_credentials(&credentials) < 0) {
    return Internal("GnuTLS makes no credentials");
  }
  material->credentials.reset(credentials);
  const gnutls_datum_t certificate = DatumOf(material->certificate);
  const gnutls_datum_t key = DatumOf(material->key);
  const int result = gnutls_certificate_set_x509_key_mem2(credentials, &certificate, &key,
                                                          GNUTLS_X509_FMT_PEM, nullptr, 0);
  if (result < 0) {
    return InvalidField("key",
                        fmt::format("{}: {}", options.key.string(), gnutls_strerror(result)));
  }
  if (options.client_ca.empty()) {
    if (!options.require_client_certificate) return material;
    return InvalidField("client_ca", "is needed where clients must have a certificate");
  }
  YAGURA_ASSIGN_OR_RETURN(material->trust, ClientTrust::Load(options.client_ca));
  // Whom we trust is told to clients that have several; OpenSSL decides.
  static_cast<void>(gnutls_certificate_set_x509_trust_file(credentials, options.client_ca.c_str(),
                                                           GNUTLS_X509_FMT_PEM));
  return material;
}

class GnuTlsSession final : public HttpTls::Session {
 public:
  GnuTlsSession(gnutls_session_t session, std::shared_ptr<const Material> material,
                bool require_certificate, std::function<void()> on_open)
      : material_(std::move(material)), on_open_(std::move(on_open)) {
    gnutls_session_set_ptr(session, this);
    gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, material_->credentials.get());
    gnutls_handshake_set_max_packet_length(session, kMaxHandshakeMessage);
    gnutls_handshake_set_hook_function(session, GNUTLS_HANDSHAKE_FINISHED, GNUTLS_HOOK_POST,
                                       &OnFinished);
    gnutls_session_set_verify_function(session, &OnCertificate);
    gnutls_certificate_server_set_request(session, material_->trust == nullptr ? GNUTLS_CERT_IGNORE
                                                   : require_certificate       ? GNUTLS_CERT_REQUIRE
                                                                         : GNUTLS_CERT_REQUEST);
  }

  const std::shared_ptr<const std::vector<std::string>>& certificates() const override {
    return certificates_;
  }
  const std::string& refusal() const override { return refusal_; }

 private:
  static int OnCertificate(gnutls_session_t session) {
    auto& self = *static_cast<GnuTlsSession*>(gnutls_session_get_ptr(session));
    unsigned int count = 0;
    const gnutls_datum_t* sent = gnutls_certificate_get_peers(session, &count);
    if (sent == nullptr || count == 0) return 0;  // where one is required GnuTLS refuses it
    std::vector<std::string_view> chain;
    for (unsigned int i = 0; i < count; ++i) {
      chain.emplace_back(reinterpret_cast<const char*>(sent[i].data), sent[i].size);
    }
    if (self.material_->trust == nullptr) return GNUTLS_E_CERTIFICATE_ERROR;
    auto names = self.material_->trust->Names(chain);
    if (!names.ok()) {
      self.refusal_ = Message(names.status());
      return GNUTLS_E_CERTIFICATE_ERROR;
    }
    self.certificates_ = std::make_shared<const std::vector<std::string>>(*std::move(names));
    return 0;
  }

  // The client's is the last word of TLS 1.3, and the last but ours of 1.2.
  static int OnFinished(gnutls_session_t session, unsigned int /*type*/, unsigned int /*when*/,
                        unsigned int incoming, const gnutls_datum_t* /*message*/) {
    auto& self = *static_cast<GnuTlsSession*>(gnutls_session_get_ptr(session));
    if (incoming != 0 && self.on_open_) std::exchange(self.on_open_, nullptr)();
    return 0;
  }

  const std::shared_ptr<const Material> material_;
  std::function<void()> on_open_;
  std::shared_ptr<const std::vector<std::string>> certificates_ =
      std::make_shared<const std::vector<std::string>>();
  std::string refusal_;
};

class GnuTls final : public HttpTls {
 public:
  GnuTls(std::unique_ptr<Reloaded<Material>> material, bool require_certificate)
      : material_(std::move(material)),
        first_(material_->Get()),
        require_certificate_(require_certificate) {}

  std::unique_ptr<Session> NewSession(gnutls_session_int* session,
                                      std::function<void()> on_open) override {
    return std::make_unique<GnuTlsSession>(session, material_->Get(), require_certificate_,
                                           std::move(on_open));
  }

  const std::string& certificate() const override { return first_->certificate; }
  const std::string& key() const override { return first_->key; }
  const char* priorities() const override { return kPriorities; }

 private:
  const std::unique_ptr<Reloaded<Material>> material_;
  const std::shared_ptr<const Material> first_;
  const bool require_certificate_;
};

}  // namespace

StatusOr<std::shared_ptr<HttpTls>> HttpTls::Make(const TlsOptions& options,
                                                 std::shared_ptr<const Clock> clock,
                                                 Logger logger) {
  YAGURA_ASSIGN_OR_RETURN(auto material, Reloaded<Material>::Of(
                                             {options.certificate, options.key, options.client_ca},
                                             [options] { return ReadMaterial(options); },
                                             [logger = std::move(logger)](const Status& status) {
                                               TellOfReload(logger, "HTTPS", status);
                                             },
                                             std::move(clock)));
  return std::make_shared<GnuTls>(std::move(material), options.require_client_certificate);
}

}  // namespace yagura::ingestion
