#include "common/metrics/metrics.h"

#include <curl/curl.h>

#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace yagura {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(MetricsRegistry, TheSameNameAndLabelsGiveTheSameMetric) {
  MetricsRegistry registry;
  Counter* calls = registry.GetCounter("yagura_calls_total", "Calls.", {{"code", "OK"}});
  EXPECT_EQ(calls, registry.GetCounter("yagura_calls_total", "Calls.", {{"code", "OK"}}));
  EXPECT_NE(calls, registry.GetCounter("yagura_calls_total", "Calls.", {{"code", "ABORTED"}}));
  calls->Add();
  calls->Add(2);
  EXPECT_EQ(calls->Value(), 3);
  registry.GetGauge("yagura_depth", "Depth.")->Set(7);
  registry.GetHistogram("yagura_wait_seconds", "Wait.", {0.1, 1})->Observe(0.5);
  const std::string text = registry.Render();
  EXPECT_THAT(text, HasSubstr("yagura_calls_total{code=\"OK\"} 3"));
  EXPECT_THAT(text, HasSubstr("yagura_depth 7"));
  EXPECT_THAT(text, HasSubstr("yagura_wait_seconds_bucket{le=\"1\"} 1"));
}

TEST(MetricsRegistry, AFloodOfLabelValuesEndsInOther) {
  MetricsRegistry registry;
  for (int i = 0; i < 3000; ++i) {
    registry.GetCounter("yagura_x_total", "X.", {{"who", std::to_string(i)}})->Add();
  }
  EXPECT_EQ(registry.GetCounter("yagura_x_total", "X.", {{"who", "2999"}})->Value(), 2000);
  EXPECT_THAT(registry.Render(), HasSubstr("who=\"other\""));
  EXPECT_THAT(registry.Render(), Not(HasSubstr("who=\"1500\"")));
}

TEST(MetricsRegistry, ManyThreadsLoseNoCount) {
  MetricsRegistry registry;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&registry] {
      for (int i = 0; i < 1000; ++i) registry.GetCounter("yagura_y_total", "Y.")->Add();
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(registry.GetCounter("yagura_y_total", "Y.")->Value(), 4000);
}

size_t Append(char* data, size_t size, size_t count, void* out) {
  static_cast<std::string*>(out)->append(data, size * count);
  return size * count;
}

TEST(MetricsServer, ServesWhatTheRegistryHolds) {
  auto registry = std::make_shared<MetricsRegistry>();
  registry->GetCounter("yagura_z_total", "Z.")->Add(5);
  std::string error;
  auto server = MetricsServer::Start("127.0.0.1:0", registry, &error);
  ASSERT_NE(server, nullptr) << error;
  ASSERT_GT(server->port(), 0);
  std::string body;
  CURL* curl = curl_easy_init();
  const std::string url = "http://127.0.0.1:" + std::to_string(server->port()) + "/metrics";
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, Append);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
  curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
  EXPECT_EQ(curl_easy_perform(curl), CURLE_OK);
  curl_easy_cleanup(curl);
  EXPECT_THAT(body, HasSubstr("yagura_z_total 5"));

  EXPECT_EQ(MetricsServer::Start("127.0.0.1:" + std::to_string(server->port()), registry, &error),
            nullptr);
  EXPECT_THAT(error, HasSubstr("cannot serve metrics"));
}

}  // namespace
}  // namespace yagura
