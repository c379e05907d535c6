#include "common/rpc/run_service.h"
#include "services/notification/app.h"

int main(int argc, char** argv) {
  using yagura::rpc::Platform;
  return yagura::rpc::RunService(
      argc, argv, "notification",
      [](yagura::config::SettingsReader& reader) -> yagura::rpc::MakeApp {
        const auto settings = yagura::notification::ReadSettings(reader);
        return [settings](
                   const Platform& platform) -> absl::StatusOr<std::unique_ptr<yagura::rpc::App>> {
          if (!settings.ok()) return settings.status();
          return yagura::notification::NewApp(*settings, platform);
        };
      });
}
