#include "common/rpc/credentials.h"

#include <fstream>
#include <iterator>

#include "fmt/format.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/security/server_credentials.h"

#include "common/status/status.h"

namespace yagura::rpc {
namespace {

absl::StatusOr<std::string> ReadPem(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(in), {});
  if (!in || text.find("-----BEGIN") == std::string::npos) {
    return MakeError(absl::StatusCode::kInvalidArgument, "TLS_FILE_INVALID",
                     fmt::format("{} cannot be read as PEM", file));
  }
  return text;
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> ServerCredentialsOf(
    const ServerOptions& options) {
  const bool any = !options.tls_certificate_file.empty() || !options.tls_key_file.empty();
  if (!any && options.tls_client_ca_file.empty()) return grpc::InsecureServerCredentials();
  if (options.tls_certificate_file.empty() || options.tls_key_file.empty()) {
    return MakeError(absl::StatusCode::kInvalidArgument, "TLS_INCOMPLETE",
                     "TLS needs both a certificate and a key");
  }
  grpc::SslServerCredentialsOptions tls;
  grpc::SslServerCredentialsOptions::PemKeyCertPair pair;
  YAGURA_ASSIGN_OR_RETURN(pair.private_key, ReadPem(options.tls_key_file));
  YAGURA_ASSIGN_OR_RETURN(pair.cert_chain, ReadPem(options.tls_certificate_file));
  tls.pem_key_cert_pairs.push_back(std::move(pair));
  if (!options.tls_client_ca_file.empty()) {
    YAGURA_ASSIGN_OR_RETURN(tls.pem_root_certs, ReadPem(options.tls_client_ca_file));
    tls.client_certificate_request = GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
  }
  return grpc::SslServerCredentials(tls);
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> ChannelCredentialsOf(
    const ChannelTls& tls) {
  if (tls.ca_file.empty()) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  YAGURA_ASSIGN_OR_RETURN(options.pem_root_certs, ReadPem(tls.ca_file));
  if (!tls.certificate_file.empty()) {
    YAGURA_ASSIGN_OR_RETURN(options.pem_cert_chain, ReadPem(tls.certificate_file));
    YAGURA_ASSIGN_OR_RETURN(options.pem_private_key, ReadPem(tls.key_file));
  }
  return grpc::SslCredentials(options);
}

}  // namespace yagura::rpc
