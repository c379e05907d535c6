#include "services/notification/transport/webhook_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

#include "fmt/format.h"

#include "common/status/status.h"
#include "services/notification/domain/webhook.h"
#include "services/notification/transport/curl_handle.h"

namespace yagura::notification {
namespace {

constexpr size_t kMaxAnswer = 64 * 1024;
constexpr long kLookUpTimeoutMs = 2'000;

// The answer's body says nothing to us: counted, and the transfer ended where it will not end.
size_t Discard(char* /*data*/, size_t size, size_t count, void* user) {
  auto& seen = *static_cast<size_t*>(user);
  seen += size * count;
  return seen > kMaxAnswer ? 0 : size * count;
}

// Decides over each address that libcurl is about to connect to.
struct Guard {
  const WebhookPolicy& policy;
  bool open;                 // whether what is allowed is connected to
  bool allowed = false;      // some address was
  std::string refused = {};  // the last address that was not
};

std::string BytesOf(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    sockaddr_in four{};
    memcpy(&four, &address, sizeof(four));
    return {reinterpret_cast<const char*>(&four.sin_addr), sizeof(four.sin_addr)};
  }
  if (address.sa_family == AF_INET6) {
    sockaddr_in6 six{};
    memcpy(&six, &address, sizeof(six));
    return {reinterpret_cast<const char*>(&six.sin6_addr), sizeof(six.sin6_addr)};
  }
  return "";
}

std::string TextOf(const sockaddr& address) {
  const std::string bytes = BytesOf(address);
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(address.sa_family, bytes.data(), text.data(), text.size());
  return text.data();
}

curl_socket_t OpenSocket(void* user, curlsocktype /*purpose*/, curl_sockaddr* address) {
  auto& guard = *static_cast<Guard*>(user);
  if (!guard.policy.AllowsAddress(BytesOf(address->addr))) {
    guard.refused = TextOf(address->addr);
    return CURL_SOCKET_BAD;
  }
  guard.allowed = true;
  if (!guard.open) return CURL_SOCKET_BAD;
  return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

std::string HostOf(const std::string& url) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), curl_url_cleanup);
  char* host = nullptr;
  if (parsed == nullptr || curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK ||
      curl_url_get(parsed.get(), CURLUPART_HOST, &host, 0) != CURLUE_OK) {
    return "";
  }
  std::string text = host;
  curl_free(host);
  return text;
}

// 4 or 16 bytes where the host of a URL, as libcurl writes it, is an address; else empty.
std::string LiteralAddress(std::string host) {
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  in_addr four{};
  if (inet_pton(AF_INET, host.c_str(), &four) == 1) {
    return {reinterpret_cast<const char*>(&four), sizeof(four)};
  }
  in6_addr six{};
  if (inet_pton(AF_INET6, host.c_str(), &six) == 1) {
    return {reinterpret_cast<const char*>(&six), sizeof(six)};
  }
  return "";
}

// The addresses of a name are not the customer's to know.
std::string RefusalText(const std::string& host) {
  return LiteralAddress(host).empty()
             ? "the host has no public address, nor one among webhook.allowed_networks"
             : fmt::format("the address {} is no public one, nor among webhook.allowed_networks",
                           host);
}

Outcome Refusal(const std::string& host, const Guard& guard) {
  return {v1::PERMANENT_FAILURE, 0, RefusalText(host),
          fmt::format("{} is {} here", host, guard.refused)};
}

class CurlWebhookClient : public WebhookClient {
 public:
  explicit CurlWebhookClient(WebhookOptions options) : options_(std::move(options)) {}

  Outcome Post(const WebhookRequest& request, const std::stop_token& stop) override {
    const bool proxied = !options_.proxy.empty();
    const std::string host = HostOf(request.url);
    const bool guarded = !options_.policy.AllowsHost(host);
    if (proxied && guarded) {
      const Guard looked = LookUp(request.url);
      if (!looked.allowed && !looked.refused.empty()) return Refusal(host, looked);
    }
    const CurlHandle handle(curl_easy_init());
    if (handle == nullptr) return {v1::TEMPORARY_FAILURE, 0, "libcurl has no handle"};
    Guard guard{options_.policy, true};
    if (!proxied && guarded) SetGuard(handle.get(), guard);
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
    if (!guard.allowed && !guard.refused.empty()) return Refusal(host, guard);
    return Classify(handle.get(), result, request.body.size(), error.data());
  }

  absl::Status Check(const std::string& url) const override {
    const std::string host = HostOf(url);
    const std::string address = LiteralAddress(host);
    if (address.empty() || options_.policy.AllowsHost(host) ||
        options_.policy.AllowsAddress(address)) {
      return absl::OkStatus();
    }
    return MakeError(absl::StatusCode::kFailedPrecondition, "WEBHOOK_REFUSED", RefusalText(host));
  }

 private:
  // What the host means here and now. Connects to nobody; at most two seconds.
  Guard LookUp(const std::string& url) const {
    Guard guard{options_.policy, false};
    const CurlHandle handle(curl_easy_init());
    if (handle == nullptr) return guard;
    SetGuard(handle.get(), guard);
    Configure(handle.get());
    curl_easy_setopt(handle.get(), CURLOPT_PROXY, "");
    curl_easy_setopt(handle.get(), CURLOPT_URL, url.c_str());
    curl_easy_setopt(handle.get(), CURLOPT_CONNECTTIMEOUT_MS, kLookUpTimeoutMs);
    curl_easy_setopt(handle.get(), CURLOPT_TIMEOUT_MS, kLookUpTimeoutMs);
    curl_easy_setopt(handle.get(), CURLOPT_QUICK_EXIT, 1L);  // never wait for a slow name server
    // It fails, as nothing is connected to: the guard has seen the addresses.
    static_cast<void>(curl_easy_perform(handle.get()));
    return guard;
  }

  static void SetGuard(CURL* handle, Guard& guard) {
    curl_easy_setopt(handle, CURLOPT_OPENSOCKETFUNCTION, OpenSocket);
    curl_easy_setopt(handle, CURLOPT_OPENSOCKETDATA, &guard);
  }

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
