#include "services/notification/workers/dispatcher.h"

#include <algorithm>

#include "common/status/status.h"

namespace yagura::notification {
namespace {

constexpr std::chrono::milliseconds kIdle{50};     // looks for what has become due
constexpr std::chrono::seconds kMaintain{1};       // renews our key, looks for dead holders
constexpr std::chrono::seconds kRenewedEnough{3};  // our key lives 5 s
constexpr std::chrono::seconds kReload{30};        // in case the feed had a gap
constexpr std::chrono::milliseconds kPauseOnError{200};

bool IsOpen(const v1::Delivery& delivery) {
  return delivery.state() == v1::PENDING || delivery.state() == v1::SENDING;
}

store::TenantScope Everywhere() {
  store::TenantScope scope;
  scope.all = true;
  return scope;
}

}  // namespace

Dispatcher::Dispatcher(std::shared_ptr<Sender> sender, std::shared_ptr<Holders> holders,
                       const Stores& stores, const std::shared_ptr<store::FeedFollower>& feed,
                       std::shared_ptr<const Clock> clock, Logger logger, Options options)
    : sender_(std::move(sender)),
      holders_(std::move(holders)),
      clock_(std::move(clock)),
      logger_(std::move(logger)),
      options_(options),
      queue_(static_cast<size_t>(std::max(1, options.webhook_threads / 2))),
      open_(stores.deliveries, feed, IsOpen) {}

Dispatcher::~Dispatcher() { Stop(); }

void Dispatcher::Start() {
  watch_ = open_.Watch(Everywhere(),
                       [this](const audit::v1::Record& record, const v1::Delivery* delivery) {
                         if (delivery != nullptr) {
                           queue_.Put(*delivery);
                         } else {
                           queue_.Remove(record.resource());
                         }
                         changed_.notify_all();
                       });
  for (int i = 0; i < options_.mail_threads; ++i) {
    threads_.emplace_back([this] { ServeChannel(v1::EMAIL); });
  }
  for (int i = 0; i < options_.webhook_threads; ++i) {
    threads_.emplace_back([this] { ServeChannel(v1::WEBHOOK); });
  }
  threads_.emplace_back([this] { Maintain(); });
}

void Dispatcher::Stop() {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
  }
  changed_.notify_all();
  const auto end = std::chrono::steady_clock::now() + options_.grace;
  {
    std::unique_lock lock(mutex_);
    changed_.wait_until(lock, end, [this] { return queue_.in_hand() == 0; });
  }
  abort_.request_stop();
  {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(2), [this] { return queue_.in_hand() == 0; });
  }
  give_up_.request_stop();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
  watch_.reset();
  // Without its key whatever we left under way is taken up by others at once.
  if (const absl::Status status = holders_->Release(); !status.ok()) {
    logger_.Warning("the holder's key stays until it expires", {{"error", Message(status)}});
  }
}

void Dispatcher::WakeUp() {
  const std::lock_guard lock(mutex_);
  changed_.notify_all();
}

// Whoever looks for our key must find it as long as we begin attempts.
bool Dispatcher::MayBegin() const {
  const std::chrono::steady_clock::time_point renewed{
      std::chrono::steady_clock::duration(renewed_.load())};
  return renewed_.load() != 0 && std::chrono::steady_clock::now() - renewed < kRenewedEnough;
}

void Dispatcher::ServeChannel(v1::Channel channel) {
  while (true) {
    {
      std::unique_lock lock(mutex_);
      if (stopping_) return;
    }
    const auto name = MayBegin() ? queue_.Take(channel, clock_->Now()) : std::nullopt;
    if (!name) {
      std::unique_lock lock(mutex_);
      if (!stopping_) changed_.wait_for(lock, kIdle);
      continue;
    }
    const auto delivery = sender_->Attempt(*name, abort_.get_token(), give_up_.get_token());
    if (delivery.ok()) {
      queue_.Put(*delivery);
    } else {
      if (!absl::IsAborted(delivery.status())) {
        logger_.Warning("a delivery could not be taken up",
                        {{"delivery", *name}, {"error", Message(delivery.status())}});
      }
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, kPauseOnError, [this] { return stopping_; });
    }
    queue_.Done(*name);
    if (absl::IsNotFound(delivery.status())) queue_.Remove(*name);
    WakeUp();
  }
}

void Dispatcher::Maintain() {
  auto next_reload = std::chrono::steady_clock::time_point{};
  while (true) {
    const auto asked = std::chrono::steady_clock::now();
    if (const absl::Status status = holders_->Renew(); !status.ok()) {
      logger_.Warning("the holder's key cannot be renewed", {{"error", Message(status)}});
    } else {
      renewed_ = asked.time_since_epoch().count();
      if (asked >= next_reload) {
        Reload();
        next_reload = asked + kReload;
      }
      ReleaseDeadHolders();
    }
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, kMaintain, [this] { return stopping_; })) break;
  }
  // Others must not take our attempts while they end.
  std::unique_lock lock(mutex_);
  while (queue_.in_hand() > 0 && !give_up_.stop_requested()) {
    lock.unlock();
    static_cast<void>(holders_->Renew());
    lock.lock();
    changed_.wait_for(lock, kMaintain);
  }
}

void Dispatcher::Reload() {
  std::set<std::string> ended = queue_.Names();
  store::ListQuery query;
  query.page_size = 1000;
  do {
    auto page = open_.List(query, Everywhere());
    if (!page.ok()) {
      logger_.Warning("open deliveries cannot be listed", {{"error", Message(page.status())}});
      return;
    }
    for (const v1::Delivery& delivery : page->items) {
      ended.erase(delivery.name());
      queue_.Put(delivery);
    }
    query.page_token = page->next_page_token;
  } while (!query.page_token.empty());
  for (const std::string& name : ended) queue_.Remove(name);
}

void Dispatcher::ReleaseDeadHolders() {
  for (const std::string& holder : queue_.Holders()) {
    if (holder == holders_->self()) {  // the answer to a write was lost; nobody has it in hand
      queue_.Release(holder);
      continue;
    }
    const auto alive = holders_->IsAlive(holder);
    if (alive.ok() && !*alive) {
      logger_.Info("takes over the attempts of a process that is gone", {{"holder", holder}});
      queue_.Release(holder);
      changed_.notify_all();
    }
  }
}

}  // namespace yagura::notification
