#include "common/rpc/run_service.h"
#include "services/config/app.h"

int main(int argc, char** argv) {
  using yagura::rpc::Platform;
  return yagura::rpc::RunService(
      argc, argv, "config", [](yagura::config::SettingsReader& reader) -> yagura::rpc::MakeApp {
        const auto settings = yagura::config::ReadSettings(reader);
        return [settings](
                   const Platform& platform) -> absl::StatusOr<std::unique_ptr<yagura::rpc::App>> {
          if (!settings.ok()) return settings.status();
          return yagura::config::NewApp(*settings, platform);
        };
      });
}
