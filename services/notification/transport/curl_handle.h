#pragma once

#include <curl/curl.h>

#include <chrono>
#include <memory>
#include <stop_token>
#include <string>

namespace yagura::notification {

// Keeps libcurl initialised as long as it lives; libcurl counts.
class CurlLibrary {
 public:
  CurlLibrary() { curl_global_init(CURL_GLOBAL_DEFAULT); }
  ~CurlLibrary() { curl_global_cleanup(); }
  CurlLibrary(const CurlLibrary&) = delete;
  CurlLibrary& operator=(const CurlLibrary&) = delete;
};

struct FreeCurl {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using CurlHandle = std::unique_ptr<CURL, FreeCurl>;

// Owns a list of texts for libcurl.
class CurlList {
 public:
  void Append(const std::string& text) {
    curl_slist* longer = curl_slist_append(list_.get(), text.c_str());
    if (longer == nullptr) return;
    static_cast<void>(list_.release());
    list_.reset(longer);
  }
  curl_slist* get() const { return list_.get(); }

 private:
  std::unique_ptr<curl_slist, FreeCurl> list_;
};

// Ends a transfer at a stop or a point in time. libcurl alone waits 120 s for some replies,
// whatever its time-out says.
struct TransferLimit {
  std::stop_token stop;
  std::chrono::steady_clock::time_point deadline;
};
// `limit` must outlive the transfer.
void SetLimit(CURL* handle, const TransferLimit& limit);

// What went wrong, for the ledger.
std::string CurlErrorText(CURLcode code, const char* error_buffer);

}  // namespace yagura::notification
