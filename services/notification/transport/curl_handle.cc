#include "services/notification/transport/curl_handle.h"

namespace yagura::notification {

void SetLimit(CURL* handle, const TransferLimit& limit) {
  using Callback = int (*)(void*, curl_off_t, curl_off_t, curl_off_t, curl_off_t);
  const Callback over = [](void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    const auto& watched = *static_cast<const TransferLimit*>(user);
    return watched.stop.stop_requested() || std::chrono::steady_clock::now() > watched.deadline ? 1
                                                                                                : 0;
  };
  curl_easy_setopt(handle, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, over);
  curl_easy_setopt(handle, CURLOPT_XFERINFODATA, const_cast<TransferLimit*>(&limit));
}

std::string CurlErrorText(CURLcode code, const char* error_buffer) {
  return error_buffer[0] != '\0' ? error_buffer : curl_easy_strerror(code);
}

}  // namespace yagura::notification
