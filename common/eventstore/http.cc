#include "common/eventstore/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::eventstore {
namespace {

constexpr size_t kMaxHeaderBytes = 64 << 10;

Status Down(std::string_view what) { return Unavailable("EVENT_STORE_DOWN", what); }

struct SlistDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, SlistDeleter>;

HeaderList MakeHeaders(const HttpRequest& request) {
  HeaderList list(curl_slist_append(nullptr, "Expect:"));
  const auto add = [&list](const std::string& line) {
    curl_slist* longer = curl_slist_append(list.get(), line.c_str());
    static_cast<void>(list.release());
    list.reset(longer);
  };
  if (request.source) add("Transfer-Encoding: chunked");
  for (const auto& [name, value] : request.headers) add(fmt::format("{}: {}", name, value));
  return list;
}

std::string PercentEncode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

// Errors that are clear, and have nothing to do with a certificate of ours that the server wants.
bool SaysItAll(CURLcode code) {
  return code == CURLE_COULDNT_CONNECT || code == CURLE_PEER_FAILED_VERIFICATION ||
         code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CERTPROBLEM ||
         code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_ABORTED_BY_CALLBACK;
}

bool IsUnix(std::string_view address) { return address.starts_with("unix:"); }

std::string MakeUrl(std::string_view address, const HttpRequest& request) {
  std::string url(IsUnix(address) ? std::string_view("http://store") : address);
  while (!url.empty() && url.back() == '/') url.pop_back();
  url += request.path;
  char separator = '?';
  for (const auto& [name, value] : request.parameters) {
    url += fmt::format("{}{}={}", separator, PercentEncode(name), PercentEncode(value));
    separator = '&';
  }
  return url;
}

}  // namespace

// What the callbacks of one transfer share.
struct HttpTransport::Exchange {
  using Clock = std::chrono::steady_clock;

  const HttpRequest& request;
  const BodySink& sink;
  const std::stop_token& stop;
  HttpResponse response;
  Status status;  // the first error of sink or source
  size_t header_bytes = 0;
  bool source_asked = false;
  bool gone = false;     // still_there said no
  curl_off_t moved = 0;  // bytes in both directions, when last looked at
  Clock::time_point moved_at = Clock::now();
  std::array<char, CURL_ERROR_SIZE> error{};

  static size_t OnHeader(char* data, size_t size, size_t count, void* self_pointer) {
    auto& self = *static_cast<Exchange*>(self_pointer);
    const std::string_view line = Trim({data, size * count});
    self.header_bytes += size * count;
    if (self.header_bytes > kMaxHeaderBytes) return 0;
    if (line.starts_with("HTTP/")) {
      self.response.headers.clear();
      const auto parts = Split(line, ' ');
      self.response.status = parts.size() > 1 ? ParseNumber<long>(parts[1]).value_or(0) : 0;
    } else if (const size_t colon = line.find(':'); colon != std::string_view::npos) {
      self.response.headers[ToLower(Trim(line.substr(0, colon)))] = Trim(line.substr(colon + 1));
    }
    return size * count;
  }

  static size_t OnBody(char* data, size_t size, size_t count, void* self_pointer) {
    auto& self = *static_cast<Exchange*>(self_pointer);
    self.status = self.sink(self.response, {data, size * count});
    // What the sink does is no silence of the server.
    self.moved_at = Clock::now();
    return self.status.ok() ? size * count : 0;
  }

  static size_t OnRead(char* buffer, size_t size, size_t count, void* self_pointer) {
    auto& self = *static_cast<Exchange*>(self_pointer);
    self.source_asked = true;
    auto given = self.request.source(buffer, size * count);
    self.moved_at = Clock::now();
    if (!given.ok()) {
      self.status = given.status();
      return CURL_READFUNC_ABORT;
    }
    return *given;
  }

  static int OnProgress(void* self_pointer, curl_off_t, curl_off_t down, curl_off_t,
                        curl_off_t up) {
    auto& self = *static_cast<Exchange*>(self_pointer);
    if (self.stop.stop_requested()) return 1;
    return self.request.still_there && !self.StillThere(down + up) ? 1 : 0;
  }

  bool StillThere(curl_off_t bytes) {
    const auto now = Clock::now();
    bytes += static_cast<curl_off_t>(header_bytes);
    if (bytes != moved) {
      moved = bytes;
      moved_at = now;
    } else if (now - moved_at >= request.silence) {
      gone = !request.still_there();
      moved_at = Clock::now();
    }
    return !gone;
  }

  Status FromCurl(CURLcode code) const {
    if (!status.ok()) return status;
    const std::string_view detail =
        error[0] != '\0' ? std::string_view(error.data()) : curl_easy_strerror(code);
    switch (code) {
      case CURLE_ABORTED_BY_CALLBACK:
        if (gone) return Down("event store does not answer any more");
        return MakeError(absl::StatusCode::kCancelled, "QUERY_CANCELLED",
                         "the query was cancelled");
      case CURLE_OPERATION_TIMEDOUT:
        return MakeError(
            absl::StatusCode::kDeadlineExceeded, "QUERY_TIMEOUT",
            fmt::format("event store did not answer within {} ms", request.timeout.count()));
      default:
        return Down(fmt::format("event store cannot be reached: {}", ToValidUtf8(detail)));
    }
  }
};

void HttpTransport::FreeHandle::operator()(void* handle) const { curl_easy_cleanup(handle); }

HttpTransport::HttpTransport(Options options) : options_(std::move(options)) {}
HttpTransport::~HttpTransport() = default;

HttpTransport::Handle HttpTransport::TakeHandle(size_t server) {
  {
    const std::lock_guard lock(mutex_);
    const auto it = std::find_if(idle_.begin(), idle_.end(),
                                 [server](const auto& entry) { return entry.first == server; });
    if (it != idle_.end()) {
      Handle handle = std::move(it->second);
      idle_.erase(it);
      curl_easy_reset(handle.get());
      return handle;
    }
  }
  return Handle(curl_easy_init());
}

void HttpTransport::ReturnHandle(size_t server, Handle handle) {
  const std::lock_guard lock(mutex_);
  if (idle_.size() < options_.max_idle) idle_.emplace_back(server, std::move(handle));
}

// Who the server is and whether its certificate is for its name is always checked.
void HttpTransport::SetTls(void* curl) const {
  curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
  curl_easy_setopt(curl, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
  if (!options_.ca_file.empty()) {
    curl_easy_setopt(curl, CURLOPT_CAINFO, options_.ca_file.c_str());
    curl_easy_setopt(curl, CURLOPT_CAPATH, nullptr);
  }
  if (options_.certificate_file.empty()) return;
  const std::string& key =
      options_.key_file.empty() ? options_.certificate_file : options_.key_file;
  curl_easy_setopt(curl, CURLOPT_SSLCERT, options_.certificate_file.c_str());
  curl_easy_setopt(curl, CURLOPT_SSLKEY, key.c_str());
}

HttpTransport::Result HttpTransport::Perform(size_t server, const HttpRequest& request,
                                             const BodySink& sink, const std::stop_token& stop) {
  const std::string& target = options_.addresses[server];
  Handle handle = TakeHandle(server);
  CURL* curl = handle.get();
  if (curl == nullptr) return {Internal("cannot make an HTTP handle"), false, false};
  Exchange exchange{request, sink, stop, {}, {}};
  const HeaderList headers = MakeHeaders(request);
  const std::string url = MakeUrl(target, request);

  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  if (IsUnix(target)) curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, target.c_str() + 5);
  SetTls(curl);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, exchange.error.data());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_PROXY, "");
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, 256L << 10);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                   static_cast<long>(options_.connect_timeout.count()));
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout.count()));
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &Exchange::OnHeader);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &exchange);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &Exchange::OnBody);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &exchange);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, &Exchange::OnProgress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &exchange);
  if (request.method == "POST") {
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    if (request.source) {
      // A source cannot be rewound, so the connection must not be one that the peer just closed.
      curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
      curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, 1L << 20);
      curl_easy_setopt(curl, CURLOPT_READFUNCTION, &Exchange::OnRead);
      curl_easy_setopt(curl, CURLOPT_READDATA, &exchange);
    } else {
      curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body.data());
      curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
                       static_cast<curl_off_t>(request.body.size()));
    }
  }

  const CURLcode code = curl_easy_perform(curl);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, nullptr);
  // Also where a connection was refused, or none came about in time.
  long request_bytes = 0;
  curl_easy_getinfo(curl, CURLINFO_REQUEST_SIZE, &request_bytes);
  Result result{absl::UnknownError(""), request_bytes > 0 || exchange.source_asked,
                exchange.header_bytes > 0};
  const bool cut_off = code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR;
  if (code == CURLE_OK || (cut_off && exchange.status.ok() && exchange.response.status != 0)) {
    exchange.response.truncated = code != CURLE_OK;
    if (code == CURLE_OK) ReturnHandle(server, std::move(handle));
    result.response = std::move(exchange.response);
  } else if (code == CURLE_SEND_ERROR && exchange.status.ok() && exchange.response.status >= 400) {
    // A server that refuses an insert answers before it has read all of the body.
    result.response = std::move(exchange.response);
  } else if (code == CURLE_OPERATION_TIMEDOUT && !result.sent &&
             request.timeout >= options_.connect_timeout) {
    result.response = Down("event store cannot be reached: no connection came about in time");
  } else {
    result.response = exchange.FromCurl(code);
    const Status& status = result.response.status();
    if (exchange.status.ok() && target.starts_with("https:") && !result.answered &&
        status.code() == absl::StatusCode::kUnavailable && !SaysItAll(code)) {
      // TLS 1.3 tells only afterwards that a certificate was missing, or with luck not at all.
      result.response = Down(fmt::format("{} ({})", Message(status),
                                         options_.certificate_file.empty()
                                             ? "it may ask for a certificate; we have none to show"
                                             : "it may not accept the certificate that we show"));
    }
  }
  return result;
}

}  // namespace yagura::eventstore
