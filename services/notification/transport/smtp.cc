#include "services/notification/transport/smtp.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "fmt/format.h"

#include "common/text/text.h"
#include "services/notification/domain/webhook.h"
#include "services/notification/transport/curl_handle.h"

namespace yagura::notification {
namespace {

constexpr long kGoAhead = 354;  // the reply to DATA: no reply to the mail itself has come yet

// The mail as libcurl takes it, piece by piece.
struct Source {
  std::string_view rest;
  bool all_taken = false;
};

size_t Take(char* buffer, size_t size, size_t count, void* user) {
  auto& source = *static_cast<Source*>(user);
  const size_t n = std::min(size * count, source.rest.size());
  std::memcpy(buffer, source.rest.data(), n);
  source.rest.remove_prefix(n);
  if (source.rest.empty()) source.all_taken = true;
  return n;
}

// Keeps the server's latest line.
size_t KeepReply(char* data, size_t size, size_t count, void* user) {
  auto& reply = *static_cast<std::string*>(user);
  reply = Trim(std::string_view(data, std::min<size_t>(size * count, 400)));
  return size * count;
}

// The result is known; libcurl still says QUIT when the handle goes, and would wait up to 120 s for
// the answer.
void StopListening(CURL* handle) {
  curl_socket_t socket = CURL_SOCKET_BAD;
  curl_easy_getinfo(handle, CURLINFO_ACTIVESOCKET, &socket);
  if (socket != CURL_SOCKET_BAD) ::shutdown(socket, SHUT_RD);
}

class SmtpTransport : public MailTransport {
 public:
  explicit SmtpTransport(SmtpOptions options) : options_(std::move(options)) {}

  Outcome Send(const std::string& to, const std::string& message, const std::string& /*message_id*/,
               const std::stop_token& stop) override {
    const CurlHandle handle(curl_easy_init());
    if (handle == nullptr) return {v1::TEMPORARY_FAILURE, 0, "libcurl has no handle"};
    std::array<char, CURL_ERROR_SIZE> error{};
    std::string reply;
    Source source{message};
    CurlList recipients;
    recipients.Append(fmt::format("<{}>", to));
    Configure(handle.get());
    curl_easy_setopt(handle.get(), CURLOPT_ERRORBUFFER, error.data());
    curl_easy_setopt(handle.get(), CURLOPT_MAIL_RCPT, recipients.get());
    curl_easy_setopt(handle.get(), CURLOPT_READFUNCTION, Take);
    curl_easy_setopt(handle.get(), CURLOPT_READDATA, &source);
    curl_easy_setopt(handle.get(), CURLOPT_HEADERFUNCTION, KeepReply);
    curl_easy_setopt(handle.get(), CURLOPT_HEADERDATA, &reply);
    const TransferLimit limit{stop, std::chrono::steady_clock::now() + options_.timeout};
    SetLimit(handle.get(), limit);
    const CURLcode result = curl_easy_perform(handle.get());
    StopListening(handle.get());
    long code = 0;
    curl_easy_getinfo(handle.get(), CURLINFO_RESPONSE_CODE, &code);
    return Classify(result, code, source.all_taken, CurlErrorText(result, error.data()), reply);
  }

 private:
  void Configure(CURL* handle) const {
    const bool implicit = options_.tls == SmtpTls::kImplicit;
    const std::string url = fmt::format("{}://{}:{}/{}", implicit ? "smtps" : "smtp", options_.host,
                                        options_.port, options_.hello_name);
    curl_easy_setopt(handle, CURLOPT_URL, url.c_str());
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(handle, CURLOPT_PROXY, "");
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS,
                     static_cast<long>(options_.connect_timeout.count()));
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, static_cast<long>(options_.timeout.count()));
    curl_easy_setopt(handle, CURLOPT_USE_SSL, UseSsl());
    curl_easy_setopt(handle, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    if (!options_.ca_file.empty()) {
      curl_easy_setopt(handle, CURLOPT_CAINFO, options_.ca_file.c_str());
    }
    if (!options_.username.empty()) {
      curl_easy_setopt(handle, CURLOPT_USERNAME, options_.username.c_str());
      curl_easy_setopt(handle, CURLOPT_PASSWORD, options_.password.c_str());
    }
    curl_easy_setopt(handle, CURLOPT_MAIL_FROM, fmt::format("<{}>", options_.from).c_str());
    curl_easy_setopt(handle, CURLOPT_UPLOAD, 1L);
  }

  long UseSsl() const {
    switch (options_.tls) {
      case SmtpTls::kNone:
        return CURLUSESSL_NONE;
      case SmtpTls::kAuto:
        return options_.username.empty() ? CURLUSESSL_TRY : CURLUSESSL_ALL;
      default:
        return CURLUSESSL_ALL;
    }
  }

  static Outcome Classify(CURLcode result, long code, bool all_taken, std::string error,
                          const std::string& reply) {
    Outcome outcome;
    outcome.code = static_cast<int>(code);
    if (result == CURLE_OK) {
      outcome.result = v1::ACCEPTED;
      outcome.detail = "accepted";
      return outcome;
    }
    if (all_taken && code == kGoAhead) {
      outcome.result = v1::AMBIGUOUS;
    } else if (result == CURLE_LOGIN_DENIED) {
      outcome.result = v1::TEMPORARY_FAILURE;  // the operator will mend the password
    } else {
      outcome.result = code >= 400 ? ClassifySmtp(outcome.code) : v1::TEMPORARY_FAILURE;
    }
    outcome.detail = std::move(error);
    if (code >= 400 && !reply.empty()) outcome.detail += fmt::format(" ({})", reply);
    return outcome;
  }

  const CurlLibrary library_;
  const SmtpOptions options_;
};

}  // namespace

std::unique_ptr<MailTransport> NewSmtpTransport(SmtpOptions options) {
  return std::make_unique<SmtpTransport>(std::move(options));
}

}  // namespace yagura::notification
