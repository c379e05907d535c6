#include "services/notification/transport/webhook_client.h"

#include <array>

#include "fmt/format.h"

#include "services/notification/domain/webhook.h"
#include "services/notification/transport/curl_handle.h"

namespace yagura::notification {
namespace {

constexpr size_t kMaxAnswer = 64 * 1024;

// The answer's body says nothing to us: counted, and the transfer ended where it will not end.
size_t Discard(char* /*data*/, size_t size, size_t count, void* user) {
  auto& seen = *static_cast<size_t*>(user);
  seen += size * count;
  return seen > kMaxAnswer ? 0 : size * count;
}

class CurlWebhookClient : public WebhookClient {
 public:
  explicit CurlWebhookClient(WebhookOptions options) : options_(std::move(options)) {}

  Outcome Post(const WebhookRequest& request, const std::stop_token& stop) override {
    const CurlHandle handle(curl_easy_init());
    if (handle == nullptr) return {v1::TEMPORARY_FAILURE, 0, "libcurl has no handle"};
    std::array<char, CURL_ERROR_SIZE> error{};
    size_t seen = 0;
    CurlList headers;
    for (const auto& [name, value] : request.headers) {
      headers.Append(fmt::format("{}: {}", name, value));
    }
    headers.Append("Expect:");
    Configure(handle.get());
    curl_easy_setopt(handle.get(), CURLOPT_ERRORBUFFER, error.data());
    curl_easy_setopt(handle.get(), CURLOPT_URL, request.url.c_str());
    curl_easy_setopt(handle.get(), CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(handle.get(), CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(handle.get(), CURLOPT_POSTFIELDS, request.body.data());
    curl_easy_setopt(handle.get(), CURLOPT_WRITEFUNCTION, Discard);
    curl_easy_setopt(handle.get(), CURLOPT_WRITEDATA, &seen);
    const TransferLimit limit{stop, std::chrono::steady_clock::now() + options_.timeout};
    SetLimit(handle.get(), limit);
    const CURLcode result = curl_easy_perform(handle.get());
    return Classify(handle.get(), result, request.body.size(), error.data());
  }

 private:
  void Configure(CURL* handle) const {
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(handle, CURLOPT_PROXY, options_.proxy.c_str());
    curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_USERAGENT, "yagura-notification");
    curl_easy_setopt(handle, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS,
                     static_cast<long>(options_.connect_timeout.count()));
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, static_cast<long>(options_.timeout.count()));
    if (!options_.ca_file.empty()) {
      curl_easy_setopt(handle, CURLOPT_CAINFO, options_.ca_file.c_str());
    }
  }

  static Outcome Classify(CURL* handle, CURLcode result, size_t body_size, const char* error) {
    long code = 0;
    curl_off_t sent = 0;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &code);
    curl_easy_getinfo(handle, CURLINFO_SIZE_UPLOAD_T, &sent);
    Outcome outcome;
    outcome.code = static_cast<int>(code);
    if (code >= 200) {
      outcome.result = ClassifyHttp(outcome.code);
      outcome.detail = fmt::format("HTTP {}", code);
    } else if (sent >= static_cast<curl_off_t>(body_size)) {
      outcome.result = v1::AMBIGUOUS;
      outcome.detail = CurlErrorText(result, error);
    } else {
      outcome.result = v1::TEMPORARY_FAILURE;
      outcome.detail = CurlErrorText(result, error);
    }
    return outcome;
  }

  const CurlLibrary library_;
  const WebhookOptions options_;
};

}  // namespace

std::unique_ptr<WebhookClient> NewWebhookClient(WebhookOptions options) {
  return std::make_unique<CurlWebhookClient>(std::move(options));
}

}  // namespace yagura::notification
